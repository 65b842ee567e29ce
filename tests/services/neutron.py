"""neutron.py PORT: as much of the network service as Nova asks for servers without a network, which is empty lists."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port = int(sys.argv[1])
quota = {name: -1 for name in ("floatingip", "network", "port", "security_group", "security_group_rule")}
version = {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"http://127.0.0.1:{port}/v2.0/"}]}


def document(path):
    parts = path.split("?")[0].strip("/").split("/")
    if parts in ([""], ["v2.0"]):
        return {"versions": [version]}
    if "quotas" in parts:
        return {"quota": quota}
    return {parts[-1].removesuffix(".json"): []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(document(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
