"""Counts its visitors in Redis, which it finds by the container's name."""

from flask import Flask
from redis import Redis

app = Flask(__name__)
redis = Redis(host="redis")


@app.route("/")
def visit():
    return f"visit {redis.incr('visits')}\n"


app.run(host="0.0.0.0", port=5000)
