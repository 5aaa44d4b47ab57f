"""A process that has imported what commands need, and forks itself for each: seconds saved in hundreds of tests.

python warm.py FD: on that socket arrive lists of arguments and folders as JSON, each with stdin, stdout and stderr, and
the exit codes go back.
"""

import json
import os
import socket
import sys
import threading
import traceback

WAITING = 1 << 16  # bytes, the longest command line


def serve(channel):
    import cv2  # noqa: F401
    import librosa
    import numpy as np

    from streamfx.inference.openvino import import_openvino

    import_openvino()
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    import streamfx.cli
    import streamfx.effects.dream
    import streamfx.effects.style
    import streamfx.pipeline

    librosa.yin(np.zeros(8192, np.float32), fmin=100.0, fmax=1000.0, sr=22050)  # has numba compile what it needs
    while True:
        asked, streams, _, _ = socket.recv_fds(channel, WAITING, 3)
        if not asked:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            order = json.loads(asked)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.chdir(order["folder"])
            os.environ.update(order["environment"])
            sys.argv = ["streamfx", *order["arguments"]]
            code = 70  # of a traceback
            try:
                streamfx.cli.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
            threading._shutdown()  # waits as any end of Python does; what libraries tear down after it takes a second
            sys.stdout.flush()
            os._exit(code)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    serve(socket.socket(fileno=int(sys.argv[1])))
