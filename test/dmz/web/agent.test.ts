import { describe, expect, it } from 'vitest';
import { describeAgent } from '#dmz/web/format/agent.ts';

const webkit = 'AppleWebKit/537.36 (KHTML, like Gecko)';

describe('what a client calls itself', () => {
  it.each([
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0',
      'Firefox',
      'Windows',
    ],
    [`Mozilla/5.0 (X11; Linux x86_64) ${webkit} Chrome/142.0.0.0 Safari/537.36`, 'Chrome', 'Linux'],
    [`Mozilla/5.0 (X11; Linux x86_64) ${webkit} HeadlessChrome/142.0.0.0 Safari/537.36`, 'Chrome', 'Linux'],
    [`Mozilla/5.0 (Windows NT 10.0) ${webkit} Chrome/142.0.0.0 Safari/537.36 Edg/142.0`, 'Edge', 'Windows'],
    [`Mozilla/5.0 (Linux; Android 10; K) ${webkit} Chrome/142.0 Mobile Safari/537.36`, 'Chrome', 'Android'],
    [`Mozilla/5.0 (X11; CrOS x86_64 14541) ${webkit} Chrome/142.0 Safari/537.36`, 'Chrome', 'ChromeOS'],
    [
      `Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ${webkit} Version/26 Safari/604`,
      'Safari',
      'iPhone',
    ],
    [`Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${webkit} Version/26.1 Safari/605`, 'Safari', 'macOS'],
    ['SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7', 'OpenSSH 9.2p1', undefined],
    ['SSH-2.0-FileZilla_3.66.5', 'FileZilla 3.66.5', undefined],
    ['SSH-2.0-WinSCP_release_6.5.3', 'WinSCP release 6.5.3', undefined],
    ['curl/8.14.1', 'curl 8.14.1', undefined],
    ['x'.repeat(255), 'x'.repeat(40), undefined],
  ])('%s: %s, %s', (agent, name, system) => {
    expect(describeAgent(agent)).toEqual(system === undefined ? { name } : { name, system });
  });

  it('is nothing when it said nothing', () => {
    expect(describeAgent('')).toBeUndefined();
    expect(describeAgent('SSH-2.0-')).toBeUndefined();
    expect(describeAgent('  ')).toBeUndefined();
  });
});
