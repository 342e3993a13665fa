import { describe, expect, it } from 'vitest';
import { unansweredMax, unansweredPerSourceMax } from '#dmz/login/limits.ts';
import { Unanswered } from '#dmz/login/unanswered.ts';

describe('sealed logins that nobody answers', () => {
  const build = () => {
    let nowMs = 0;
    const failed: string[] = [];
    const unanswered = new Unanswered(
      { firstFactorFailed: (ip, user) => void failed.push(`${user} from ${ip}`) },
      { monotonic: () => nowMs },
    );
    const add = (id: string, ip = '192.0.2.1', lifeMs = 1_000) =>
      unanswered.add(id, { ip, user: `user of ${id}`, lifeMs });
    return { add, failed, unanswered, advance: (ms: number) => void (nowMs += ms) };
  };

  it('are failed tries when they are given up or their time is over, once', () => {
    const { add, failed, unanswered, advance } = build();
    add('a');
    add('b');
    add('c');
    unanswered.answered('a');
    unanswered.giveUp('b');
    unanswered.giveUp('b');
    unanswered.giveUp('a');
    expect(failed).toEqual(['user of b from 192.0.2.1']);
    advance(999);
    add('d');
    expect(failed).toHaveLength(1);
    advance(1);
    add('e');
    expect(failed).toEqual(['user of b from 192.0.2.1', 'user of c from 192.0.2.1']);
  });

  it('wait up to a number of one source, and then the oldest is a failed try', () => {
    const { add, failed } = build();
    add('first');
    for (let number = 2; number <= unansweredPerSourceMax; number += 1) add(`own${number}`);
    add('other', '198.51.100.1');
    expect(failed).toEqual([]);
    add('last');
    expect(failed).toEqual(['user of first from 192.0.2.1']);
  });

  it('wait up to a number in all', () => {
    const { add, failed } = build();
    for (let number = 0; number < unansweredMax; number += 1)
      add(`one${number}`, `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`);
    expect(failed).toEqual([]);
    add('last');
    expect(failed).toEqual(['user of one0 from 10.0.0.0']);
  });
});
