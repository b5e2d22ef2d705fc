"""A real RTSP server for tests: GStreamer's, in a process of its own that a test can kill.

Run by a Python that has PyGObject and GstRtspServer; prints the port that it listens on.

    python3 rtsp_server.py PORT [--user NAME:PASSWORD] [--udp] PATH=PIPELINE …
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    import gi

    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.pop(0))
    role = None
    if arguments[0] == "--user":
        user, password = arguments[1].split(":")
        auth, role = GstRtspServer.RTSPAuth(), "viewer"
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", role)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        del arguments[:2]
    protocols = GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP
    if arguments[0] == "--udp":
        protocols = GstRtsp.RTSPLowerTrans.UDP
        del arguments[0]
    for argument in arguments:
        path, pipeline = argument.split("=", 1)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        factory.set_protocols(protocols)
        if role:
            permissions = GstRtspServer.RTSPPermissions()
            for name in ("access", "construct"):
                permissions.add_permission_for_role(role, f"media.factory.{name}", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    assert server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1:])
