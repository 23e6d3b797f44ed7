// Validates policies of Kubernetes and Cilium against their schemas. Exits with 1 if one is not valid.
//   node check.mjs FILE...
import fs from "node:fs";
import { load } from "js-yaml";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { CiliumNetworkPolicy } from "@kubernetes-models/cilium/cilium.io/v2/CiliumNetworkPolicy";

const models = { NetworkPolicy, CiliumNetworkPolicy };
for (const file of process.argv.slice(2)) {
  const policy = load(fs.readFileSync(file, "utf8"));
  try {
    const model = models[policy.kind];
    if (model.apiVersion !== policy.apiVersion) throw new Error(`apiVersion ${policy.apiVersion}`);
    new model(policy).validate();
    console.log(`valid: ${file}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`NOT VALID: ${file}: ${error.message}`);
  }
}
