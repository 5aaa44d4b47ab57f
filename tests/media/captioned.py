"""Puts closed captions into videos."""

import av


def with_captions(video, path, first):
    """Remux an mp4 to MPEG-TS with captions in the frames from `first` on."""
    with av.open(str(video)) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [done for packet in source.demux(stream) if packet.dts is not None for done in annex_b.filter(packet)]
        order = sorted(packet.pts for packet in packets)
        for packet in packets:
            number = order.index(packet.pts)
            payload = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc" + bytes([0x20 + number, 0x41]) + b"\xff"
            sei = b"\0\0\0\x01\x06" + bytes([4, len(payload)]) + payload + b"\x80"
            new = av.Packet((sei if number >= first else b"") + bytes(packet))
            new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
            new.is_keyframe, new.stream = packet.is_keyframe, copy
            target.mux(new)
