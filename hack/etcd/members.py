"""Real etcd members on loopback, for hack/etcd/record."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT = 10.0  # seconds for one request, where a step names no other
PATIENCE = 60.0  # seconds that a wait may take on a slow, busy machine


def build(repository):
    """The path and version of the etcd to run, built first where it is missing."""
    built = subprocess.run([repository / "hack" / "etcd" / "build"], check=True, stdout=subprocess.PIPE, text=True)
    binary = built.stdout.strip()
    shown = subprocess.run([binary, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return binary, shown.splitlines()[0].removeprefix("etcd Version: ")


def free_ports(count):
    """Ports that were free a moment ago: all are held until the last is known, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in held]
    for holder in held:
        holder.close()
    return ports


def wait(what, holds):
    """Waits until `holds` gives true. Raises when that takes longer than PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(0.05)


class Member:
    """One etcd process."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.id, self.process = cluster, name, None, None
        self.folder = Path(cluster.folder) / name
        client, peer = free_ports(2)
        self.client_url, self.peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        # As in a cluster: what a member says of itself is its stable name, and no port of the day gets recorded.
        self.advertised_url = f"http://{name}.etcd.default.svc:2379"

    def start(self, joining=False):
        peers = ",".join(f"{member.name}={member.peer_url}" for member in self.cluster.known)
        log = open(self.folder.with_suffix(".log"), "wb")
        self.process = subprocess.Popen(
            [self.cluster.binary, "--name", self.name, "--data-dir", self.folder, "--unsafe-no-fsync",
             "--listen-client-urls", self.client_url, "--advertise-client-urls", self.advertised_url,
             "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
             "--initial-cluster", peers, "--initial-cluster-state", "existing" if joining else "new",
             # Calm elections on a busy machine: who leads changes only when a step makes it change.
             "--heartbeat-interval", "200", "--election-timeout", "2000"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def wait_until_ended(self):
        self.process.wait(PATIENCE)

    def ask(self, method, path, body, timeout=TIMEOUT):
        """One exchange, as it is recorded."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.client_url + path, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return read(answer)
        except urllib.error.HTTPError as answer:
            return read(answer)
        except TimeoutError:
            return no_response("timed out")
        except OSError as failure:
            reason = getattr(failure, "reason", failure)
            return no_response("timed out" if isinstance(reason, TimeoutError) else "connection refused"
                               if isinstance(reason, ConnectionRefusedError) else type(reason).__name__)

    def status(self):
        answer = self.ask("POST", "/v3/maintenance/status", {})
        return answer["body"] if answer["code"] == 200 else {}


class Cluster:
    """Three members that started together, of which etcd-0 leads. Ends them all on leaving."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.known = []
        self.members = [self.make_member(f"etcd-{number}") for number in range(3)]

    def make_member(self, name):
        member = Member(self, name)
        self.known.append(member)
        return member

    def __enter__(self):
        try:
            for member in self.members:
                member.start()
            self.wait_for_health(self.members)
            for member in self.members:
                member.id = self.id_of_peer(member.peer_url)
            self.lead(self.members[0])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for member in self.known:
            member.kill()

    def listed(self):
        answer = self.members[0].ask("POST", "/v3/cluster/member/list", {})
        return answer["body"]["members"] if answer["code"] == 200 else []

    def id_of_peer(self, peer_url):
        return next(entry["ID"] for entry in self.listed() if entry["peerURLs"] == [peer_url])

    def lead(self, wanted):
        """Lets `wanted` lead, whoever won the first election."""
        def leads():
            leader = next((member for member in self.members if member.status().get("leader") == member.id), None)
            if leader and leader is not wanted:
                leader.ask("POST", "/v3/maintenance/transfer-leadership", {"targetID": wanted.id})
            return leader is wanted
        wait(f"{wanted.name} leads", leads)
        self.wait_for_leader(wanted, self.members)

    def wait_for_leader(self, leader, witnesses):
        wait(f"all see {leader.name} lead", lambda: all(w.status().get("leader") == leader.id for w in witnesses))

    def wait_for_no_leader(self, witness):
        def none():
            status = witness.status()
            return bool(status) and status.get("leader", "0") == "0"
        wait("there is no leader", none)

    def wait_for_health(self, members):
        wait("all are healthy", lambda: all(m.ask("GET", "/health", None)["code"] == 200 for m in members))

    def wait_for_name(self, name):
        wait(f"{name} is listed", lambda: any(entry.get("name") == name for entry in self.listed()))


def read(answer):
    text = answer.read().decode()
    try:
        kind, body = "json", json.loads(text)
    except json.JSONDecodeError:
        kind, body = ("text", text) if text else ("empty", None)
    return {"code": answer.status, "content_type": answer.headers.get("Content-Type"), "body_kind": kind, "body": body}


def no_response(why):
    return {"code": None, "content_type": None, "body_kind": "no-response", "body": why}
