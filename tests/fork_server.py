"""A process that imports the modules of all commands, and forks itself for each command that tests run.

python fork_server.py FD: the socket FD receives requests as JSON (arguments, folder, environment), with the file
descriptors of stdin, stdout and stderr, and returns exit codes.
"""

import json
import os
import socket
import sys
import threading
import traceback

MAX_REQUEST = 1 << 16  # bytes


def serve(channel):
    import cv2  # noqa: F401

    from streamfx.animation.audio_features import load_librosa
    from streamfx.inference.openvino import import_openvino

    import_openvino()
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    import streamfx.cli
    import streamfx.effects.dream
    import streamfx.effects.style
    import streamfx.pipeline

    load_librosa()  # with its compiled functions
    while True:
        data, streams, _, _ = socket.recv_fds(channel, MAX_REQUEST, 3)
        if not data:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            request = json.loads(data)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.chdir(request["folder"])
            os.environ.update(request["environment"])
            sys.argv = ["streamfx", *request["arguments"]]
            code = 70  # if the command raises
            try:
                streamfx.cli.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
            threading._shutdown()  # as at a normal exit; skips the slow teardown of libraries
            sys.stdout.flush()
            os._exit(code)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    serve(socket.socket(fileno=int(sys.argv[1])))
