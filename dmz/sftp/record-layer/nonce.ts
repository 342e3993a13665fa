/** RFC 5647 §7.1: 4 fixed bytes, then a 64-bit counter of packets, big-endian. */
export function incrementCounter(nonce: Buffer): void {
  for (let index = 11; index >= 4; index--) {
    const next = ((nonce[index] ?? 0) + 1) & 0xff;
    nonce[index] = next;
    if (next !== 0) return;
  }
}
