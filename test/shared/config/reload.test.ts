import { describe, expect, it } from 'vitest';
import { describeReload, findChangedSections, isFrozen } from '#shared/config/reload.ts';

describe('a reload', () => {
  it('names what took effect, and what only a restart takes', () => {
    const before = { publicUrl: 'https://a', log: { level: 'info' }, sftp: { port: 22 } };
    const now = { publicUrl: 'https://b', log: { level: 'info' }, sftp: { port: 22 }, securityTxt: {} };
    expect(findChangedSections(before, before)).toEqual([]);
    expect(findChangedSections(before, now)).toEqual(['public_url', 'security_txt']);
    expect(findChangedSections(now, before)).toEqual(['public_url', 'security_txt']);
    expect(describeReload({ changed: ['certificate'], restart: ['sftp'], frozen: [] })).toBe(
      'reloaded: certificate; changed, but only a restart takes it: sftp',
    );
  });

  it('says so when nothing had changed, and what it could not see', () => {
    const nothing = { changed: [], restart: [] };
    expect(describeReload({ ...nothing, frozen: [] })).toBe('reloaded: nothing had changed');
    expect(describeReload({ ...nothing, frozen: ['dmz.yaml', 'https.certificate'] })).toMatch(
      /^reloaded: nothing had changed; not looked at, .* a restart of the unit takes it: dmz.yaml, https.certificate$/,
    );
  });

  it('sees no change of what systemd handed over, only of what lies in files', () => {
    const folder = '/run/credentials/dmz.service';
    expect(isFrozen(`${folder}/https-certificate`, folder)).toBe(true);
    expect(isFrozen('/etc/sallyport/tls.pem', folder)).toBe(false);
    expect(isFrozen(`${folder}-other/x`, folder)).toBe(false);
    expect(isFrozen(`${folder}/x`, undefined)).toBe(false);
    expect(isFrozen(undefined, folder)).toBe(false);
  });
});
