"""read_events.py RUN - checks a run's TensorBoard event file against its metrics.jsonl with the standard library alone:
frames and their masked CRC-32C, the messages' fields, every number of every line once, the sample grids byte for byte.
Prints what is wrong and exits 1."""
import glob
import json
import os
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        length, = struct.unpack_from('<Q', data, at)
        assert struct.unpack_from('<I', data, at + 8)[0] == masked(data[at:at + 8]), 'CRC of a length'
        body = data[at + 12:at + 12 + length]
        assert len(body) == length, 'a torn record'
        assert struct.unpack_from('<I', data, at + 12 + length)[0] == masked(body), 'CRC of a record'
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at, out = 0, []
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                assert wire == 2, 'wire type %d' % wire
                size, at = varint(data, at)
            value = data[at:at + size]
            assert len(value) == size, 'a torn field'
            at += size
        out.append((key >> 3, wire, value))
    return out


def one(message, number, wire):
    found = [f for f in message if f[0] == number]
    assert len(found) == 1 and found[0][1] == wire, 'field %d' % number
    return found[0][2]


def main(run):
    files = glob.glob(os.path.join(glob.escape(run), 'events.*'))
    assert len(files) == 1, 'one event file: %s' % files
    name = os.path.basename(files[0]).split('.')
    assert name[:3] == ['events', 'out', 'tfevents'] and name[3].isdigit() and name[-2].isdigit() and name[-1] == '0', name
    scalars, images, clock = {}, {}, 0
    for i, body in enumerate(records(open(files[0], 'rb').read())):
        event = fields(body)
        wall, = struct.unpack('<d', one(event, 1, 1))
        assert 1e9 < wall < 1e11 and (i == 0 or wall >= clock - 1e-3), 'wall time %f after %f' % (wall, clock)
        clock = wall if i else 0
        if i == 0:
            assert one(event, 3, 2) == b'brain.Event:2' and len(event) == 2
            continue
        assert [f[0] for f in event] == [1, 2, 5], event
        step = one(event, 2, 0)
        for number, wire, value in fields(one(event, 5, 2)):
            assert (number, wire) == (1, 2)
            value = fields(value)
            tag = one(value, 1, 2).decode()
            if value[1][0] == 2:
                assert (step, tag) not in scalars, '%s twice at step %d' % (tag, step)
                scalars[step, tag] = one(value, 2, 5)
            else:
                image = fields(one(value, 4, 2))
                png = one(image, 4, 2)
                assert struct.unpack('>II', png[16:24]) == (one(image, 2, 0), one(image, 1, 0)) and one(image, 3, 0) == 3
                assert step not in images and tag == 'samples/held_out'
                images[step] = png
    wanted = {}
    for line in open(os.path.join(run, 'metrics.jsonl')):
        line = json.loads(line)
        for key, value in line.items():
            if key in ('step', 'wall') or value is None:
                continue
            packed = struct.pack('<f', value)
            wanted[line['step'], ('losses/' if key.startswith('loss') else 'charts/') + key] = packed
            if key.endswith('_per_s'):
                wanted[line['step'], 'charts/SPS'] = packed
    assert scalars == wanted, 'scalars differ: %s' % sorted(set(scalars.items()) ^ set(wanted.items()))[:4]
    grids = {}
    for path in glob.glob(os.path.join(glob.escape(run), 'samples', 'step-*.png')):
        step = int(os.path.basename(path)[5:-4])
        if step <= max(s for s, _ in wanted):  # a killed start may have left later ones
            grids[step] = open(path, 'rb').read()
    assert images == grids, 'images of steps %s, grids of %s' % (sorted(images), sorted(grids))
    print('%d scalars, %d images' % (len(scalars), len(images)))


try:
    main(sys.argv[1])
except (AssertionError, struct.error, IndexError) as wrong:
    print('%s: %s' % (sys.argv[1], wrong))
    sys.exit(1)
