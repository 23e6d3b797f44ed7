"""moto's S3 on loopback, with signatures checked; ends with its standard input.

Prints one line of JSON: the port, a key that may read and write, and one that may do nothing. What is asked is appended to the file
in argv[1], a line of JSON a request. POST /drop/N breaks off the answers to the next N reads of Parquet objects half way;
/place/KEY and /remove/KEY change the bucket without asking.
"""

import json
import sys
import threading

from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
everything = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


def key(name, policy):
    iam.create_user("us-east-1", name)
    if policy:
        iam.put_user_policy(name, "all", policy)
    made = iam.create_access_key(name)
    return [made.access_key_id, made.secret_access_key]


owner, stranger = key("owner", everything), key("stranger", None)
bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
bucket.create_bucket("rec", "us-east-1")
# From now on every request must be signed, and allowed.
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0

app = DomainDispatcherApplication(create_backend_app)
log = open(sys.argv[1], "a", buffering=1)
drops = [0]
lock = threading.Lock()


def asked(environ, start_response):
    path, method, reach = environ["PATH_INFO"], environ["REQUEST_METHOD"], environ.get("HTTP_RANGE")
    if path.startswith("/drop/"):
        drops[0] = int(path.rsplit("/", 1)[1])
        start_response("200 OK", [])
        return []
    if path.startswith(("/place/", "/remove/")):
        _, verb, key = path.split("/", 2)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
        bucket.put_object("rec", key, body) if verb == "place" else bucket.delete_object("rec", key)
        start_response("200 OK", [])
        return []
    told = {}

    def start(status, headers, exc_info=None):
        told.update(status=int(status.split()[0]), headers=headers)
        return start_response(status, headers, exc_info)

    body = b"".join(app(environ, start))
    with lock:
        drop = method == "GET" and ".parquet" in path and told["status"] < 300 and drops[0] > 0
        drops[0] -= drop
        said = {"method": method, "path": path, "range": reach, "status": told["status"], "sent": len(body)}
        log.write(json.dumps({**said, "dropped": bool(drop)}) + "\n")
    return [body[: len(body) // 2]] if drop else [body]


server = make_server("127.0.0.1", 0, asked, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port, "owner": owner, "stranger": stranger}), flush=True)
sys.stdin.read()
