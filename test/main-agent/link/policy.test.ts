import { describe, expect, it } from 'vitest';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { buildMainAgentSchema } from '#main-agent/config.ts';
import { buildPolicy, fitPolicy, whyNotTold } from '#main-agent/link/policy.ts';
import { encodeEvent } from '#shared/link/codec.ts';
import { eventSchemas } from '#shared/link/messages.ts';
import { controlMessageBytesMax } from '#shared/link/limits.ts';
import { buildLog } from '#shared/log.ts';

const log = buildLog('silent', {});
const policyWith = (count: number) => ({
  validatedLogins: true,
  branding: { name: 'x'.repeat(128), banner: 'y'.repeat(4096) },
  neverBan: [],
  bans: Array.from({ length: count }, (_value, index) => ({
    address: `2001:db8::${index}`,
    untilMs: index,
    reason: 'r'.repeat(128),
  })),
});

/** What the bans may take of one message. */
const bansBytesMax = controlMessageBytesMax - 128 * 1024;
const ban = (untilMs: number, reasonBytes: number) => ({
  address: '::',
  untilMs,
  reason: 'r'.repeat(reasonBytes),
});
const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

describe('the pushed policy', () => {
  it('goes as it is when it fits', () => {
    expect(fitPolicy(policyWith(100), log)).toEqual(policyWith(100));
  });

  it('S-09: leaves out the bans that end first when they do not all fit one message', () => {
    const fitted = fitPolicy(policyWith(10_000), log);
    expect(encodeEvent('policy', fitted).length).toBeLessThanOrEqual(controlMessageBytesMax);
    expect(fitted.bans.length).toBeGreaterThan(1000);
    expect(fitted.bans[0]?.untilMs).toBe(9999);
  });

  it('S-09: goes as it is when its bans take just the room there is', () => {
    for (const [more, isWhole] of [
      [0, true],
      [1, false],
    ] as const) {
      const policy = { ...policyWith(0), bans: [ban(1, 0), ban(2, 0)] };
      policy.bans[0] = ban(1, bansBytesMax - bytesOf(policy.bans) + more);
      expect(bytesOf(policy.bans)).toBe(bansBytesMax + more);
      expect(fitPolicy(policy, log) === policy).toBe(isWhole);
    }
  });

  it('S-09: has as many bans as there is room for, each with what parts it from the next', () => {
    const most = bytesOf(ban(2, 0)) + 1 + bytesOf(ban(1, 0)) + 1;
    for (const [more, kept] of [
      [0, 2],
      [1, 1],
    ] as const) {
      const bans = [ban(0, 0), ban(2, bansBytesMax - most + more), ban(1, 0)];
      const fitted = fitPolicy({ ...policyWith(0), bans }, log);
      expect(fitted.bans.map(({ untilMs }) => untilMs)).toEqual([2, 1].slice(0, kept));
    }
  });

  it('is what the configuration and the bans say, with what of the branding there is', () => {
    const logo = { type: 'svg', content: 'PHN2Zy8+' } as const;
    const accent = { light: '#0b6b5d', dark: '#4cc4ad' };
    const build = (more: object, shown?: typeof logo) =>
      buildPolicy(
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a policy is made of
        {
          branding: { name: 'Test', ...more },
          twoFactor: { validatedLogins: false },
          bans: { neverBan: ['192.0.2.1'] },
        } as unknown as MainAgentConfig,
        shown,
        { forPolicy: () => ({ bans: [ban(1, 0)] }) },
      );
    const rest = { validatedLogins: false, neverBan: ['192.0.2.1'], bans: [ban(1, 0)] };
    const all = { banner: 'Hello', accent, help: { text: 'Call us' } };
    expect(build(all, logo)).toStrictEqual({ branding: { name: 'Test', ...all, logo }, ...rest });
    expect(build({ logo: '/etc/logo.svg' })).toStrictEqual({ branding: { name: 'Test' }, ...rest });
  });

  it('can be told whatever the configuration takes, and what it can not be told the configuration refuses', () => {
    const schema = buildMainAgentSchema({ folder: '/etc/sallyport' });
    const texts = [
      "o'brien",
      'a"b',
      'a<b',
      'a>b',
      'a b',
      'a\nb',
      'a\u0007b',
      '\u202ea',
      '\ud800',
      'ü',
      '%27',
      '',
      ...[128, 129, 320, 321, 500, 501, 2048, 2049, 4096, 4097].map((length) => 'x'.repeat(length)),
    ];
    const links = texts.flatMap((text) => [
      `mailto:${text}@example.com`,
      `https://example.com/${text}`,
      `https://example.com/${text}`.slice(0, text.length),
    ]);
    const colours = ['#0B6B5D', '#0b6b5d', '#000000', '#ffffff', 'red'];
    const networks = [
      '192.0.2.1',
      'fe80::1%eth0',
      `2001:db8${':ffff'.repeat(6)}/128`,
      `::ffff:192.0.2.1`,
      'x',
    ];
    /** By where the policy has it; none of them decides by another what is taken. */
    const settings: Record<string, readonly object[]> = {
      validatedLogins: [true, false].map((on) => ({ two_factor: { validated_logins: on } })),
      neverBan: [...networks.map((one) => [one]), Array.from({ length: 257 }, () => '192.0.2.1')].map(
        (list) => ({ bans: { never_ban: list } }),
      ),
      name: texts.map((name) => ({ branding: { name } })),
      banner: texts.map((banner) => ({ branding: { banner } })),
      accent: colours.map((accent) => ({ branding: { accent } })),
      help: [...texts.map((text) => ({ text })), ...links.map((link) => ({ text: 'x', link }))].map(
        (help) => ({
          branding: { help },
        }),
      ),
    };
    // A logo is a file, looked at by itself; bans are no settings.
    const { branding, ...others } = eventSchemas.policy.shape;
    expect(Object.keys(settings).toSorted()).toEqual(
      [...Object.keys(others), ...Object.keys(branding.shape)]
        .filter((part) => !['bans', 'lifted', 'logo'].includes(part))
        .toSorted(),
    );
    for (const [part, tried] of Object.entries(settings)) {
      const taken = tried.flatMap(
        (one) => schema.safeParse({ identity_key: 'id', vault_key: 'vault', ...one }).data ?? [],
      );
      expect([part, taken.length > 0]).toEqual([part, true]);
      for (const config of taken)
        encodeEvent('policy', buildPolicy(config, undefined, { forPolicy: () => ({ bans: [] }) }));
    }
    const settingsOf = (name: string, network: string) => ({
      twoFactor: { validatedLogins: true },
      bans: { neverBan: [network] },
      branding: { name, banner: undefined, accent: undefined, help: undefined },
    });
    expect(whyNotTold(settingsOf('x', '::'))).toEqual([]);
    expect(whyNotTold(settingsOf('x'.repeat(129), 'x'.repeat(65))).map(({ path }) => path.join('.'))).toEqual(
      ['branding.name', 'bans.never_ban.0'],
    );
  });
});
