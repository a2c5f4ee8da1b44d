#!/usr/bin/env python3
"""torch_shard.py - a token shard as a PyTorch data set: records by number, in any process of a DataLoader.

    torch_shard.py X.lmdb      counts what two workers bring (needs torch, lmdb, numpy, xxhash)
"""
import json, struct, sys
import lmdb, numpy, torch, xxhash

PARTS = {1: "key", 2: "source", 3: "codes", 4: "text", 5: "vector", 6: "discrete", 7: "label_vector", 8: "label_discrete", 9: "present", 10: "rewards",
         11: "terminated", 12: "truncated", 13: "pixel_size", 14: "pixels", 15: "image_hash", 16: "prompt", 17: "label", 18: "sizes", 19: "success"}
OF_SLOTS = {3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 18}
WIDE = {"H": "i4", "I": "i8"}  # torch has few unsigned types


def parts(value, head):
    """(part, slot, type, numbers) of each part of a value whose head has so many bytes."""
    n, = struct.unpack_from("<H", value, 10)
    at = 32 + head + 16 * n
    for k in range(n):
        part, code, slot, count = struct.unpack_from("<HcB4xQ", value, 32 + head + 16 * k)
        a = numpy.frombuffer(value, "<" + code.decode() if code != b"B" else "u1", count, at)
        at += -(-a.nbytes // 8) * 8
        yield part, slot, code.decode(), a


class TokenShard(torch.utils.data.Dataset):
    """Item i: a dict of the record's parts, those of a slot under (slot's name, part); codes [T, h, w], numbers [T, width], bytes as they are."""

    def __init__(self, path):
        self.path, self.txn = path, None
        with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
            meta = txn.get(bytes(16))
            self.records, = struct.unpack_from("<Q", meta, 32 + 24)
            self.tasks = next(json.loads(bytes(a)) for part, _, _, a in parts(meta, 80) if part == 38)

    def __len__(self):
        return self.records

    def __getitem__(self, i):
        if self.txn is None:  # once a worker: LMDB handles do not survive a fork
            self.txn = lmdb.open(self.path, readonly=True, lock=False, readahead=False).begin()
        v = self.txn.get(struct.pack(">B3xIQ", 1, 0, i))
        _, version, tag, endian, _, _, _, checksum, number = struct.unpack_from("<4sHBcHHIQQ", v)
        if checksum != xxhash.xxh64_intdigest(v[24:], xxhash.xxh64_intdigest(v[:16])) or (version, tag, endian, number) != (2, 1, b"l", i):
            raise ValueError("%s: record %d is corrupt or of another version" % (self.path, i))
        number, T, first = struct.unpack_from("<2IQ", v, 32)
        task = self.tasks[number]
        item, all_parts = {"task": task["name"], "first_step": first}, list(parts(v, 16))
        grid = {slot: tuple(a[:2]) for part, slot, _, a in all_parts if part == 18}
        for part, slot, code, a in all_parts:
            name = PARTS.get(part, part)
            key = (task["slots"][slot]["name"], name) if part in OF_SLOTS else name
            if name in ("key", "source", "label", "pixels"):
                item[key] = bytes(a)
                continue
            a = a.astype(WIDE.get(code, a.dtype))
            rows = name not in ("text", "prompt", "image_hash", "pixel_size", "sizes")
            item[key] = torch.from_numpy(a.reshape((T, *grid[slot]) if name == "codes" else (T, -1) if rows else -1).copy())
        return item


COUNTED = ("codes", "text", "vector", "discrete")  # what a shard counts as tokens

if __name__ == "__main__":
    shard = TokenShard(sys.argv[1])
    tokens = 0
    for item in torch.utils.data.DataLoader(shard, batch_size=None, shuffle=True, num_workers=2):
        tokens += sum(a.numel() for k, a in item.items() if isinstance(k, tuple) and k[1] in COUNTED)
    print(len(shard), tokens)
