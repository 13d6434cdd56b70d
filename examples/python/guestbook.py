"""A guest book: POST / signs it, GET / reads it as JSON, GET /healthz says whether the database answers."""

import json
import os
import signal
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = os.environ.get("DATABASE", "/data/guests.db")


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.execute("CREATE TABLE IF NOT EXISTS guests (name TEXT NOT NULL)")
    return connection


class Guestbook(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with connect() as database:
            names = [name for (name,) in database.execute("SELECT name FROM guests ORDER BY rowid")]
        if self.path == "/healthz":
            self.answer(200, {"ok": True})
        else:
            self.answer(200, {"greeting": os.environ.get("GREETING", ""), "guests": names})

    def do_POST(self) -> None:
        size = min(int(self.headers.get("content-length", "0")), 200)
        name = self.rfile.read(size).decode("utf-8", "replace").strip()
        if not name:
            self.answer(400, {"error": "who are you?"})
            return
        with connect() as database:
            database.execute("INSERT INTO guests VALUES (?)", (name,))
        self.answer(201, {"guest": name})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    server = ThreadingHTTPServer(("", 8080), Guestbook)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"guest book {DATABASE} is open", flush=True)
    server.serve_forever()
    print("guest book is closed", flush=True)


if __name__ == "__main__":
    main()
