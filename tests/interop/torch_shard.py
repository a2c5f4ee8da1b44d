#!/usr/bin/env python3
"""torch_shard.py - a token shard as a PyTorch data set: records by number, in any process of a DataLoader.

    torch_shard.py X.lmdb      counts what two workers bring (needs torch, lmdb, numpy, xxhash)
"""
import struct, sys
import lmdb, numpy, torch, xxhash

PARTS = {1: "key", 2: "source", 3: "codes", 4: "text", 5: "continuous", 6: "discrete", 7: "actions", 8: "discrete_actions", 9: "label_actions", 10: "rewards",
         11: "terminated", 12: "truncated", 13: "pixel_size", 14: "pixels", 15: "image_hash", 16: "prompt"}
WIDE = {"H": "i4", "I": "i8"}  # torch has few unsigned types


class TokenShard(torch.utils.data.Dataset):
    """Item i: a dict of the record's parts; codes [T, h, w], numbers [T, width], bytes as they are."""

    def __init__(self, path):
        self.path, self.txn = path, None
        with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
            self.records, = struct.unpack_from("<Q", txn.get(bytes(16)), 32 + 56)

    def __len__(self):
        return self.records

    def __getitem__(self, i):
        if self.txn is None:  # once a worker: LMDB handles do not survive a fork
            self.txn = lmdb.open(self.path, readonly=True, lock=False, readahead=False).begin()
        v = self.txn.get(struct.pack(">B3xIQ", 1, 0, i))
        _, version, tag, endian, _, n, _, checksum, number = struct.unpack_from("<4sHBcHHIQQ", v)
        if checksum != xxhash.xxh64_intdigest(v[24:], xxhash.xxh64_intdigest(v[:16])) or (version, tag, endian, number) != (1, 1, b"l", i):
            raise ValueError("%s: record %d is corrupt or of another version" % (self.path, i))
        kind, T, h, w, _, _, first = struct.unpack_from("<B3x5IQ", v, 32)
        item, at = {"kind": kind, "first_step": first}, 64 + 16 * n
        for k in range(n):
            part, code, count = struct.unpack_from("<Hc5xQ", v, 64 + 16 * k)
            name, a = PARTS.get(part, part), numpy.frombuffer(v, "<" + code.decode() if code != b"B" else "u1", count, at)
            at += -(-a.nbytes // 8) * 8
            if name in ("key", "source", "pixels"):
                item[name] = bytes(a)
                continue
            a = a.astype(WIDE.get(code.decode(), a.dtype))
            rows = name not in ("text", "prompt", "image_hash", "pixel_size")
            item[name] = torch.from_numpy(a.reshape((T, h, w) if name == "codes" else (T, -1) if rows else -1).copy())
        return item


if __name__ == "__main__":
    shard = TokenShard(sys.argv[1])
    tokens = 0
    for item in torch.utils.data.DataLoader(shard, batch_size=None, shuffle=True, num_workers=2):
        tokens += sum(item[k].numel() for k in ("codes", "text", "continuous", "discrete", "actions", "discrete_actions") if k in item)
    print(len(shard), tokens)
