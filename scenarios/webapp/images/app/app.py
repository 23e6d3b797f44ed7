"""The shop: items from disk through a Redis cache, photo uploads with thumbnails, reports, and background jobs.

Three of its endpoints are vulnerable on purpose, each in a way that real applications are: `/diag` joins its argument
into a shell command, `/upload` trusts the file's name, `/jobs` hands its arguments to the helper program unchecked.
"""

import json
import os
import subprocess
from urllib.parse import parse_qs

import redis

ROOT = "/srv/app"
ITEMS = f"{ROOT}/data/items"
UPLOADS = f"{ROOT}/data/uploads"
THUMBS = f"{ROOT}/data/thumbs"
REPORTS = f"{ROOT}/data/reports"
WORKER = f"{ROOT}/bin/worker"

cache = redis.Redis(host="cache", port=6379, socket_timeout=3)
background = []


class Failure(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def index(query, body):
    hits = cache.incr("hits:index")
    return "200 OK", f"<h1>Shop</h1><p>visit {hits}</p>".encode()


def healthz(query, body):
    cache.ping()
    return "200 OK", b"ok"


def item(query, body):
    number = int(query["id"])
    key = f"item:{number}"
    found = cache.get(key)
    if found is None:
        if not 0 < number <= 200:
            raise Failure("404 Not Found", "no such item")
        path = f"{ITEMS}/{number}.json"
        if not os.path.exists(path):
            with open(path, "w") as file:
                json.dump({"id": number, "name": f"item {number}", "price": number * 7 % 100}, file)
        with open(path, "rb") as file:
            found = file.read()
        cache.set(key, found, ex=20)
    return "200 OK", found


def search(query, body):
    words = query.get("q", "")
    done = subprocess.run(["grep", "-r", "-l", "-i", "-e", words, ITEMS], capture_output=True, timeout=10)
    names = sorted(os.path.basename(line) for line in done.stdout.decode().splitlines())
    return "200 OK", json.dumps(names).encode()


def upload(query, body):
    # Vulnerable: the name may climb out of the folder.
    path = os.path.join(UPLOADS, query["name"])
    with open(path, "wb") as file:
        file.write(body)
    number = cache.incr("uploads")
    if path.endswith(".ppm"):
        target = f"{THUMBS}/{os.path.basename(path)}"
        size = query.get("size", "64x64")
        command = [WORKER, "--job", "thumbnail", "--id", str(number), "--size", size, "--input", path, "--output", target]
        subprocess.run(command, check=True, timeout=10)
    return "201 Created", str(number).encode()


def thumb(query, body):
    try:
        with open(f"{THUMBS}/{os.path.basename(query['name'])}", "rb") as file:
            return "200 OK", file.read()
    except FileNotFoundError as error:
        raise Failure("404 Not Found", "no such thumbnail") from error


def export(query, body):
    name = f"{REPORTS}/export-{int(query['id'])}.csv"
    with open(name, "w") as file:
        for key in ("hits:index", "uploads"):
            file.write(f"{key},{(cache.get(key) or b'0').decode()}\n")
    done = subprocess.run(["gzip", "-c", "-6", name], capture_output=True, check=True, timeout=10)
    os.unlink(name)
    return "200 OK", done.stdout


def jobs(query, body):
    # Vulnerable: whatever arguments the caller sends are run.
    global background
    background = [job for job in background if job.poll() is None]
    arguments = [str(argument) for argument in json.loads(body)["args"]]
    job = subprocess.Popen([WORKER, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    background.append(job)
    return "202 Accepted", b"started"


def diag(query, body):
    # Vulnerable: the host is pasted into a shell command.
    done = subprocess.run("getent hosts " + query.get("host", ""), shell=True, capture_output=True, timeout=15)
    return "200 OK", done.stdout


ROUTES = {
    ("GET", "/"): index,
    ("GET", "/healthz"): healthz,
    ("GET", "/item"): item,
    ("GET", "/search"): search,
    ("POST", "/upload"): upload,
    ("GET", "/thumb"): thumb,
    ("GET", "/export"): export,
    ("POST", "/jobs"): jobs,
    ("GET", "/diag"): diag,
}


def application(environ, start_response):
    route = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        if route is None:
            raise Failure("404 Not Found", "no such page")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, answer = route(query, body)
    except Failure as failure:
        status, answer = failure.status, str(failure).encode()
    except (KeyError, ValueError, TypeError):
        status, answer = "400 Bad Request", b"bad request"
    start_response(status, [("Content-Length", str(len(answer)))])
    return [answer]
