// Items as JSON files, digests by a helper program, and packing by another.
const http = require("http");
const fs = require("fs");
const { execFile } = require("child_process");

const DATA = "/srv/app/data";
const file = (id) => `${DATA}/${Number(id)}.json`;

function answer(response, status, text) {
  response.writeHead(status, { "Content-Type": "text/plain" });
  response.end(text);
}

function run(response, program, args) {
  execFile(program, args, (error, stdout) => answer(response, error ? 500 : 200, error ? "failed" : stdout));
}

http
  .createServer((request, response) => {
    const [, what, id] = request.url.split("/");
    let body = "";
    request.on("data", (part) => (body += part.toString("hex")));
    request.on("end", () => {
      if (what === "" || what === "health") return answer(response, 200, "ok");
      if (what === "item" && request.method === "POST") {
        const part = `${file(id)}.part`;
        fs.writeFileSync(part, JSON.stringify({ id, body }));
        fs.renameSync(part, file(id));
        return answer(response, 201, "kept");
      }
      if (what === "item") return fs.readFile(file(id), (error, text) => answer(response, error ? 404 : 200, text || "none"));
      if (what === "digest") return run(response, "sha256sum", ["/srv/app/server.js"]);
      if (what === "pack") return run(response, "tar", ["-czf", `/tmp/pack-${process.pid}.tar.gz`, "-C", DATA, "."]);
      answer(response, 404, "none");
    });
  })
  .listen(3000);
process.on("SIGTERM", () => process.exit(0));
