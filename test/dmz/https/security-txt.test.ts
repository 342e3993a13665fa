import { afterEach, describe, expect, it } from 'vitest';
import { Door, publicUrl } from './door.ts';

describe('/.well-known/security.txt', () => {
  let door: Door;
  afterEach(() => door.close());
  const path = '/.well-known/security.txt';

  it('says whom to tell, for how long that is good and where it stands, as RFC 9116 has it', async () => {
    const contact = ['mailto:security@example.com', 'https://example.com/report'];
    door = await Door.open({ securityTxt: { contact, languages: ['en', 'de'] } });
    const answer = await door.client().get(path);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
    const lines = answer.body.toString().split('\r\n');
    expect(lines).toEqual([
      'Contact: mailto:security@example.com',
      'Contact: https://example.com/report',
      expect.stringMatching(/^Expires: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      'Preferred-Languages: en, de',
      `Canonical: ${publicUrl}${path}`,
      '',
    ]);
    const days = (Date.parse(lines[2]?.slice('Expires: '.length) ?? '') - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(90);
  });

  it('is read from a link on another site, and with a cookie that is worth nothing; nothing may be sent there', async () => {
    door = await Door.open({ securityTxt: { contact: ['tel:+15550000'], languages: [] } });
    const from = { 'Sec-Fetch-Site': 'cross-site', Cookie: '__Host-sallyport=s.nothing' };
    const answer = await door.client().get(path, from);
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).not.toContain('Preferred-Languages');
    expect((await door.client().send('HEAD', path)).headers['content-length']).toBe(
      String(answer.body.length),
    );
    expect((await door.client().send('POST', path)).status).toBe(405);
    expect((await door.client().get('/.well-known/other')).status).toBe(404);
  });

  it('is not there where nobody is named', async () => {
    door = await Door.open();
    expect((await door.client().get(path)).status).toBe(404);
  });
});
