import { describe, expect, it } from 'vitest';
import { BanList } from '#dmz/guard/ban-list.ts';

const ip = '192.0.2.7';
const minute = 60_000;
const build = () => new BanList({ bansMax: 10, banMsMax: 24 * 60 * minute });

describe('bans', () => {
  it('a longer one stays as long as it is, a shorter one is doubled', () => {
    const bans = build();
    expect(bans.add(ip, 'failures', minute, 0).lengthMs).toBe(minute);
    expect(bans.add(ip, 'failures', 10 * minute, minute).lengthMs).toBe(10 * minute);
    expect(bans.add(ip, 'failures', minute, 11 * minute).lengthMs).toBe(20 * minute);
  });

  it('of a source at both doors and at one: the later end counts there, and the other door has its own', () => {
    const bans = build();
    bans.add(ip, 'failures', minute, 0);
    bans.add(ip, 'malformed', 5 * minute, 0, 'sftp');
    expect(bans.find(ip, 0, 'sftp')).toEqual({ kind: 'malformed', leftMs: 5 * minute });
    expect(bans.find(ip, 0, 'https')).toEqual({ kind: 'failures', leftMs: minute });
    bans.add(ip, 'failures', 30 * minute, 1);
    expect(bans.find(ip, 1, 'sftp')).toEqual({ kind: 'failures', leftMs: 30 * minute });
  });

  it('that end now are over; a ban of main that lasts as long as our own is told as ours', () => {
    const bans = build();
    bans.add(ip, 'failures', minute, 0);
    bans.replacePushed([{ address: ip, untilMs: minute }]);
    expect(bans.find(ip, minute - 1, 'https')).toEqual({ kind: 'failures', leftMs: 1 });
    expect(bans.find(ip, minute, 'https')).toBeUndefined();
    bans.replacePushed([{ address: ip, untilMs: minute + 1 }]);
    expect(bans.find(ip, minute, 'https')).toEqual({ kind: 'policy', leftMs: 1 });
  });

  it('are counted by why they are, as long as they last', () => {
    const bans = build();
    bans.add(ip, 'failures', minute, 0);
    bans.add(ip, 'malformed', 2 * minute, 0, 'sftp');
    bans.replacePushed([
      { address: ip, untilMs: minute },
      { address: '10.0.0.0/8', untilMs: minute },
    ]);
    expect(bans.counts(minute - 1)).toEqual({ failures: 1, malformed: 1, policy: 2 });
    expect(bans.counts(minute)).toMatchObject({ failures: 0, malformed: 1 });
  });

  it('of main that stay on its list lift nothing of our own', () => {
    const bans = build();
    bans.replacePushed([{ address: ip, untilMs: minute }]);
    bans.add(ip, 'failures', 60 * minute, 0);
    bans.replacePushed([{ address: ip, untilMs: 2 * minute }]);
    expect(bans.find(ip, 0, 'https')?.leftMs).toBe(60 * minute);
  });

  it('are lifted by address or by the /64 they are kept under, and by no other range', () => {
    const ipv6 = '2001:db8:0:5::9';
    const order = (address: string) => [{ id: address, address }];
    for (const [address, banned] of [
      ['2001:db8:0:5::/64', false],
      ['2001:db8:0:5::1', false],
      ['2001:db8:0:5::/65', true],
      ['2001:db8::/32', true],
      ['192.0.2.7/64', true],
    ] as const) {
      const bans = build();
      bans.add('2001:db8:0:5::/64', 'failures', minute, 0);
      bans.lift(order(address));
      expect([address, bans.find(ipv6, 0, 'https') !== undefined]).toEqual([address, banned]);
    }
  });

  it('an order to lift a range that is no source is no order', () => {
    const bans = build();
    bans.add(ip, 'failures', minute, 0);
    bans.lift([
      { id: '1', address: '192.0.2.0/24' },
      { id: '2', address: '192.0.2.7/64' },
    ]);
    expect(bans.find(ip, 0, 'https')).toBeDefined();
  });
});
