"""A stand-in for a mining pool: stratum's login, job and submit, for as many miners as come. It accepts every share."""

import json
import socketserver

JOB = {"blob": "00" * 76, "job_id": "1", "target": "ffff0000", "height": 1, "seed_hash": "00" * 32, "algo": "rx/0"}


class Miner(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            print(request["method"], flush=True)
            result = {"status": "OK"}
            if request["method"] == "login":
                result.update(id="stand-in", job=JOB, extensions=["keepalive"])
            answer = {"id": request["id"], "jsonrpc": "2.0", "error": None, "result": result}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Pool(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Pool(("0.0.0.0", 3333), Miner) as pool:
    pool.serve_forever()
