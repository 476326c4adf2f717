"""Pages and filters, over real HTTP."""

from __future__ import annotations

from tests.support.review_server import Server


def test_pages_and_filters(server: Server) -> None:
    first = server.get("/api/page", queue="labels", limit=12, status="all")
    second = server.get("/api/page", queue="labels", limit=12, status="all", start=first["next"])
    keys = [i["key"] for i in first["items"] + second["items"]]
    assert len(set(keys)) == 24
    turned = server.get("/api/page", queue="labels", limit=60, status="all", turned=1)["items"]
    straight = server.get("/api/page", queue="labels", limit=60, status="all")["items"]
    assert [i["key"] for i in turned] == [i["key"] for i in straight][::-1]
    owls = server.get("/api/page", queue="labels", limit=60, status="all", label="owl")["items"]
    assert owls and all("owl" in (i["given"], i["suggested"]) for i in owls)
    assert len(server.get("/api/page", queue="labels", limit=60, status="all", search="cat/003")["items"]) == 1
    assert server.get("/api/page", queue="labels", lowest=0.99)["items"] == []
