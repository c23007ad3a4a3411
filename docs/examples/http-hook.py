import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

state, jobs = "Idle", 0  # jobs: counted up and down by your code

class Hook(BaseHTTPRequestHandler):
    def do_GET(self):
        global state
        state = {"POST": "Prepared", "DELETE": "Idle"}.get(self.command, state)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"state": state, "inflight": jobs}).encode())

    do_POST = do_DELETE = do_GET

ThreadingHTTPServer(("0.0.0.0", 8080), Hook).serve_forever()
