"""tokenize_oracle.py - readers and writers for the tests of tokenize, none of which is the project's own code:
images by Pillow, datasets by h5py, shards by lmdb and the layout of common/io/FORMATS.md, tensors by hand."""
import json, os, struct, subprocess
import h5py, lmdb, numpy as np
from PIL import Image

KEYS = ['key', 'source', 'task', 'kind', 'grid', 'codes', 'text', 'continuous', 'discrete', 'actions', 'label_actions', 'rewards',
        'terminated', 'truncated']
SOMETIMES = ['success', 'present', 'label']


def dump(shard):
    text = subprocess.run(['tokenize', 'dump', shard], check=True, capture_output=True).stdout
    records = [json.loads(line) for line in text.splitlines()]
    for r in records:
        assert [k for k in r if k not in SOMETIMES] == KEYS, list(r)
    return records


def tensors(path):
    data = open(path, 'rb').read()
    n, = struct.unpack('<Q', data[:8])
    kinds = {'F32': '<f4', 'I64': '<i8', 'U8': 'u1'}
    return {k: np.frombuffer(data[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]], kinds[v['dtype']]).reshape(v['shape'])
            for k, v in json.loads(data[8:8 + n]).items() if k != '__metadata__'}


def trace(model, frames):
    """frames [N,H,W,3] through vqvae trace."""
    names = []
    for i, f in enumerate(frames):
        names.append('trace_%05d.png' % i)
        Image.fromarray(f).save(names[-1])
    subprocess.run(['vqvae', 'trace', '--model', model, '--image', *names, '--out', 'trace.st'], check=True, capture_output=True)
    for name in names:
        os.remove(name)
    return tensors('trace.st')


def shard(path):
    """(tag, sub, id) -> (head, parts) of a shard, raw. A part that belongs to a slot is under (name, slot), and under its name the
    first one."""
    names = {1: 'key', 2: 'source', 3: 'codes', 4: 'text', 5: 'vector', 6: 'discrete', 7: 'label_vector', 8: 'label_discrete', 9: 'present',
             10: 'rewards', 11: 'terminated', 12: 'truncated', 13: 'pixel_size', 14: 'pixels', 15: 'image_hash', 16: 'prompt', 17: 'label',
             18: 'sizes', 19: 'success', 32: 'tool', 33: 'arguments', 34: 'fingerprint', 35: 'preprocess', 36: 'quantizer',
             37: 'text_tokenizer', 38: 'tasks', 48: 'codebook', 49: 'reason', 50: 'text_file'}
    of_slots = {3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 18}
    out = {}
    with lmdb.open(path, readonly=True, lock=False).begin() as txn:
        for key, value in txn.cursor():
            tag, sub, ident = struct.unpack('>B3xIQ', key)
            magic, version, n = struct.unpack_from('<4sH4xH', value)
            assert (magic, version) == (b'tkdb', 2)
            head = value[32:32 + {(0, 0): 80, (1, 0): 16, (2, 0): 16}.get((tag, sub), 0)]
            table = 32 + len(head)
            at, parts, last = table + 16 * n, {}, (-1, -1)
            for i in range(n):
                part, kind, slot, count = struct.unpack_from('<HcB4xQ', value, table + 16 * i)
                assert last < (part, slot) and (part in of_slots or slot == 0)
                last = part, slot
                a = np.frombuffer(value, np.dtype(kind.decode()).newbyteorder('<'), count, at)
                a = bytes(a) if kind == b'B' else a
                parts.setdefault(names[part], a)
                if part in of_slots:
                    parts[names[part], slot] = a
                at += -(-len(a) * np.dtype(kind.decode()).itemsize // 8) * 8
            assert at == len(value)
            out[tag, sub, ident] = head, parts
    return out


def record_head(raw, i):
    """task, T and first step of record i of a raw shard."""
    return struct.unpack('<IIQ', raw[1, 0, i][0])


def slots(raw, task=0):
    """The slots of a task in a raw shard: (side, name) -> the slot, with its number as 'number'."""
    t = json.loads(raw[0, 0, 0][1]['tasks'])[task]
    return {(s['side'], s['name']): {**s, 'number': i} for i, s in enumerate(t['slots'])}


def box(shape, dtype, low, high):
    # numpy floats with all their digits, as Minari writes them
    return {'type': 'Box', 'dtype': dtype, 'shape': list(shape), 'low': np.full(shape, low, dtype).tolist(), 'high': np.full(shape, high, dtype).tolist()}


def write_minari(folder, episodes, observation_space, action_space, **meta):
    """episodes: dicts of observations, actions (arrays or nested dicts), rewards, terminations, truncations, infos."""
    os.makedirs(folder + '/data')

    def put(group, name, value):
        if isinstance(value, dict):
            for k, v in value.items():
                put(group.require_group(name), k, v)
        elif isinstance(value, list):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=value, chunks=True if len(value) else None, maxshape=(None,) + value.shape[1:] if len(value) else None)

    with h5py.File(folder + '/data/main_data.hdf5', 'w', track_order=True) as f:
        for i, e in enumerate(episodes):
            g = f.create_group('episode_%d' % i)
            g.attrs['id'] = i
            g.attrs['total_steps'] = e.pop('T', len(e['rewards']))
            for k, v in e.items():
                put(g, k, v)
    json.dump({'total_episodes': len(episodes), 'total_steps': sum(len(e['rewards']) for e in episodes), 'data_format': 'hdf5', 'jpeg_encoding': False,
               'dataset_id': 'test/set-v0', 'minari_version': '0.5.3', 'observation_space': json.dumps(observation_space),
               'action_space': json.dumps(action_space), **meta}, open(folder + '/data/metadata.json', 'w'))


def xxh64(data, seed=0):
    """XXH64, from the algorithm's description."""
    P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
    M = (1 << 64) - 1
    rot = lambda x, r: ((x << r) | (x >> (64 - r))) & M
    h, at = (seed + P5) & M, 0
    if len(data) >= 32:
        v = [(seed + P1 + P2) & M, (seed + P2) & M, seed, (seed - P1) & M]
        while at + 32 <= len(data):
            for i in range(4):
                v[i] = rot((v[i] + int.from_bytes(data[at + 8 * i:at + 8 * i + 8], 'little') * P2) & M, 31) * P1 & M
            at += 32
        h = sum(rot(x, r) for x, r in zip(v, (1, 7, 12, 18))) & M
        for x in v:
            h = ((h ^ (rot(x * P2 & M, 31) * P1 & M)) * P1 + P4) & M
    h = (h + len(data)) & M
    while at + 8 <= len(data):
        k = rot(int.from_bytes(data[at:at + 8], 'little') * P2 & M, 31) * P1 & M
        h = (rot(h ^ k, 27) * P1 + P4) & M
        at += 8
    if at + 4 <= len(data):
        h = (rot(h ^ (int.from_bytes(data[at:at + 4], 'little') * P1 & M), 23) * P2 + P3) & M
        at += 4
    for b in data[at:]:
        h = rot(h ^ (b * P5 & M), 11) * P1 & M
    h = (h ^ (h >> 33)) * P2 & M
    h = (h ^ (h >> 29)) * P3 & M
    return h ^ (h >> 32)


assert xxh64(b'') == 0xEF46DB3751D8E999 and xxh64(b'a') == 0xD24EC4F1A98C6E5B


def forge_code(path, record, index, code):
    """Another code in a record, under a checksum that is right."""
    with lmdb.open(path, map_size=64 << 20) as env, env.begin(write=True) as txn:
        key = struct.pack('>B3xIQ', 1, 0, record)
        v = bytearray(txn.get(key))
        n, = struct.unpack_from('<H', v, 10)
        at = 48 + 16 * n
        for i in range(n):
            part, kind, slot, count = struct.unpack_from('<HcB4xQ', v, 48 + 16 * i)
            if part == 3:
                assert kind == b'H' and index < count
                struct.pack_into('<H', v, at + 2 * index, code)
            at += -(-count * {b'B': 1, b'H': 2, b'I': 4, b'f': 4}[kind] // 8) * 8
        struct.pack_into('<Q', v, 16, xxh64(bytes(v[24:]), xxh64(bytes(v[:16]))))
        assert txn.put(key, bytes(v))
