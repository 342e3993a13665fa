import { describe, expect, it } from 'vitest';
import { countWorkers } from '#dmz/workers/count.ts';

const tcp = { type: 'tcp' as const, host: '127.0.0.1', port: 8444 };
const socket = { type: 'systemd' as const, name: 'link' };
type Config = Parameters<typeof countWorkers>[0];
type Box = Parameters<typeof countWorkers>[1];

function count(
  workers: Config['workers'],
  {
    proxiesFrom,
    link = tcp,
    ...box
  }: { proxiesFrom?: string[]; link?: typeof tcp | typeof socket } & Partial<Box> = {},
): number {
  const config = { workers, https: { proxiesFrom }, sftp: {}, link: { listen: link } } as unknown as Config;
  return countWorkers(config, { cores: 16, inherited: new Map(), mayStartProcesses: true, ...box });
}

const handedOver = (sockets: number) => ({
  link: socket,
  inherited: new Map(
    Array.from({ length: sockets }, (_, index) => [index === 0 ? 'link' : `link-${index}`, 3 + index]),
  ),
});

describe('how many workers a node has', () => {
  it('is what is said', () => {
    expect([count(1), count(2), count(8)]).toEqual([1, 2, 8]);
  });

  it('is one less than there are cores when it is left to the box, and never more than eight', () => {
    expect([1, 2, 3, 5, 64].map((cores) => count('auto', { cores }))).toEqual([1, 1, 2, 4, 8]);
  });

  it('is one for auto where more can not be had, and else an error that says what to do', () => {
    for (const box of [{ proxiesFrom: ['10.0.0.1'] }, { mayStartProcesses: false }, handedOver(1)]) {
      expect(count('auto', box)).toBe(1);
      expect(count(1, box)).toBe(1);
      expect(() => count(3, box)).toThrow(/workers: 3 can not be had/);
    }
    expect(count('auto', handedOver(3))).toBe(3);
    expect(count(3, handedOver(3))).toBe(3);
  });
});
