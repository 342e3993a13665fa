import type { Authenticator } from '#scripts/demonstration/codes.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { askSallyport } from '#test/harness/clients/sallyport.ts';
import { HttpsUser } from '#test/harness/https-user.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { setAutoEnable, startProduct, waitUntil, type Product } from '#test/harness/product.ts';
import { patienceMs } from '#test/harness/patience.ts';

/** The scenarios of two-factor authentication over the public HTTPS API alone, as a script would play them. */

let product: Product;
const grace: DemoUser = {
  name: 'grace',
  displayName: 'Grace Example',
  hasPassword: true,
  hasKey: false,
  isEnrolled: false,
  requiredOn: [],
  registration: true,
  forceSetup: false,
};

beforeAll(async () => {
  product = await startProduct({ moreUsers: [grace] });
});
afterAll(() => product.close());

const signedIn = { status: 200, body: { state: 'signed-in' } };

describe('auto_enable is on', () => {
  it('requires the code from the next sign-in on, once the user has set it up', async () => {
    const carol = new HttpsUser(product, 'carol');
    expect(await carol.signIn()).toMatchObject(signedIn);
    const before = await carol.call('GET', '/api/me');
    expect(before.body).toMatchObject({ two_factor: { enrolled: false, required_on: [], may_set_up: true } });
    const { app, recovery, requiredOn } = await carol.setUp();
    expect([recovery.length, requiredOn]).toEqual([10, ['https', 'sftp']]);
    expect(await carol.call('POST', '/api/two-factor/setup')).toMatchObject({ status: 409 });
    await carol.call('POST', '/api/logout');

    expect(await carol.password()).toMatchObject({
      status: 200,
      body: { state: 'code-required', challenge: { method: 'totp', recovery: true, attempts_left: 5 } },
    });
    expect((await carol.call('GET', '/api/files/')).status).toBe(401);
    expect(await carol.code('000000')).toMatchObject({
      status: 401,
      body: { reason: 'wrong-code', attempts_left: 4 },
    });
    const code = await app.next();
    expect(await carol.code(code)).toMatchObject(signedIn);
    expect((await carol.call('GET', '/api/files/')).status).toBe(200);
    expect(await carol.signIn(code)).toMatchObject({
      status: 401,
      body: { reason: 'used-code', attempts_left: 4 },
    });
  });

  it('confines a user whose set-up is forced until it is done, and then lets the same session on', async () => {
    const dave = new HttpsUser(product, 'dave');
    expect(await dave.signIn()).toMatchObject({ status: 200, body: { state: 'setup-required' } });
    expect(await dave.call('GET', '/api/files/')).toMatchObject({
      status: 403,
      body: { reason: 'setup-required' },
    });
    const { app } = await dave.setUp();
    expect((await dave.call('GET', '/api/files/')).status).toBe(200);
    expect(await dave.signIn(await app.next())).toMatchObject(signedIn);
  });
});

describe('auto_enable is off', () => {
  beforeAll(() => setAutoEnable(product, false));

  it('mails codes to a user of whom one is required until there is an authenticator', async () => {
    const bob = new HttpsUser(product, 'bob');
    const mailbox = new Mailbox(product.site.files.mail, 'bob@example.com');
    expect(await bob.password()).toMatchObject({
      status: 200,
      body: { state: 'code-required', challenge: { method: 'email', hint: 'b…@example.com' } },
    });
    expect((await bob.call('POST', '/api/login/resend')).status).toBe(429);
    expect(await bob.code(await mailbox.code(1))).toMatchObject(signedIn);
    const { app } = await bob.setUp();
    expect(await bob.password()).toMatchObject({ body: { challenge: { method: 'totp' } } });
    expect(await bob.code(await app.next())).toMatchObject(signedIn);
    expect(mailbox.codes()).toHaveLength(1);
  });

  it('asks nobody for a code who set one up unasked, until the admin requires it', async () => {
    const user = new HttpsUser(product, 'grace');
    await user.signIn();
    const { app, requiredOn }: { app: Authenticator; requiredOn: unknown } = await user.setUp();
    expect(requiredOn).toEqual([]);
    expect(await user.signIn()).toMatchObject(signedIn);
    const socket = product.site.files.main.socket;
    await askSallyport(socket, ['users', 'set', 'grace', 'two_factor.required_on=[https, sftp]']);
    // A session that a password alone opened does not outlive the requirement.
    await waitUntil(async () => (await user.call('GET', '/api/files/')).status === 401, patienceMs);
    expect(await user.signIn(await app.next())).toMatchObject(signedIn);
  });
});
