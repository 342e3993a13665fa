/**
 * Whose turn it is to send: round robin over groups (sessions), and within a group over its streams, so that a client
 * with fifty streams gets no more of the lane than one with a single stream.
 */
interface Member {
  readonly group: string;
}

export class SendRing<T extends Member> {
  readonly #groups = new Map<string, T[]>();
  #order: string[] = [];
  readonly #members = new Set<T>();

  /** A member already in the ring keeps its place. */
  add(member: T): void {
    if (this.#members.has(member)) return;
    this.#members.add(member);
    const group = this.#groups.get(member.group);
    if (group !== undefined) {
      group.push(member);
      return;
    }
    this.#groups.set(member.group, [member]);
    this.#order.push(member.group);
  }

  /** Takes the next member out; add it again when it has more to send. */
  next(): T | undefined {
    const name = this.#order.shift();
    if (name === undefined) return undefined;
    const group = this.#groups.get(name);
    const member = group?.shift();
    if (group === undefined || member === undefined) return undefined;
    this.#members.delete(member);
    if (group.length === 0) this.#groups.delete(name);
    else this.#order.push(name);
    return member;
  }

  remove(member: T): void {
    if (!this.#members.delete(member)) return;
    const rest = (this.#groups.get(member.group) ?? []).filter((other) => other !== member);
    if (rest.length > 0) {
      this.#groups.set(member.group, rest);
    } else {
      this.#groups.delete(member.group);
      this.#order = this.#order.filter((name) => name !== member.group);
    }
  }
}
