import { describe, expect, it } from 'vitest';
import { KeyLock } from '#main-agent/turns.ts';

describe('turns by key', () => {
  it('work of one key goes one at a time and in order, work of another key meanwhile', async () => {
    const turns = new KeyLock();
    const order: string[] = [];
    const ends: (() => void)[] = [];
    const work = (name: string) => async (): Promise<string> => {
      order.push(`${name} begins`);
      await new Promise<void>((resolve) => ends.push(resolve));
      order.push(`${name} ends`);
      return name;
    };
    const first = turns.run('alice', work('a1'));
    const second = turns.run('alice', work('a2'));
    const other = turns.run('bob', work('b1'));
    await expect.poll(() => order).toEqual(['a1 begins', 'b1 begins']);
    ends[0]?.();
    expect(await first).toBe('a1');
    ends[1]?.();
    expect(await other).toBe('b1');
    await expect.poll(() => ends.length).toBe(3);
    ends[2]?.();
    expect(await second).toBe('a2');
    expect(order.indexOf('a2 begins')).toBeGreaterThan(order.indexOf('a1 ends'));
  });

  it('what fails is told to its caller only, and the next one has its turn', async () => {
    const turns = new KeyLock();
    const failing = turns.run('alice', async () => {
      throw new Error('no disk');
    });
    const next = turns.run('alice', async () => 'done');
    await expect(failing).rejects.toThrow('no disk');
    expect(await next).toBe('done');
  });

  it('who comes while a second one works waits for that one too', async () => {
    const turns = new KeyLock();
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const work = (name: string) => (): Promise<void> => {
      begun.push(name);
      return new Promise((resolve) => ends.push(resolve));
    };
    const first = turns.run('alice', work('a1'));
    const second = turns.run('alice', work('a2'));
    await expect.poll(() => begun).toEqual(['a1']);
    ends[0]?.();
    await first;
    await expect.poll(() => begun).toEqual(['a1', 'a2']);
    const third = turns.run('alice', work('a3'));
    await new Promise(setImmediate);
    expect(begun).toEqual(['a1', 'a2']);
    ends[1]?.();
    await second;
    await expect.poll(() => begun).toEqual(['a1', 'a2', 'a3']);
    ends[2]?.();
    await third;
  });
});
