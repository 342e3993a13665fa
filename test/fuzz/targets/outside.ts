import { generateKeyPairSync } from 'node:crypto';
import { openAccount } from '#main-agent/acme/account.ts';
import { orderCertificate } from '#main-agent/acme/order.ts';
import { buildSmsGateway } from '#main-agent/notify/sms.ts';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import type { Outcome, Sample, Target } from '#test/fuzz/target.ts';

/** What servers outside answer main: a certificate authority, a gateway for text messages. (A collector's and a webhook's are not read.) */

type Answer = Awaited<ReturnType<OutboundClient['send']>>;

/** Ten minutes of looks, two a second, and the steps of an order. */
const asksMax = 1_300;
const server = 'https://ca.example.com';
const at = (path: string): string => `${server}/${path}`;
const json = { 'content-type': 'application/json', 'replay-nonce': 'bm9uY2U' };

/** Of an order that goes well up to the certificate, whose key nobody else has. */
const honest: Readonly<Record<string, Answer>> = {
  directory: {
    status: 200,
    headers: json,
    body: JSON.stringify({ newNonce: at('nonce'), newAccount: at('account'), newOrder: at('order') }),
  },
  nonce: { status: 200, headers: json, body: '' },
  account: {
    status: 201,
    headers: { ...json, location: at('account/1') },
    body: JSON.stringify({ status: 'valid', contact: ['mailto:admin@example.com'] }),
  },
  order: {
    status: 201,
    headers: { ...json, location: at('order/1') },
    body: JSON.stringify({
      status: 'pending',
      authorizations: [at('authorization')],
      finalize: at('finalize'),
    }),
  },
  'order/1': {
    status: 200,
    headers: { ...json, 'retry-after': '1' },
    body: JSON.stringify({
      status: 'ready',
      authorizations: [],
      finalize: at('finalize'),
      certificate: at('certificate'),
    }),
  },
  authorization: {
    status: 200,
    headers: json,
    body: JSON.stringify({
      status: 'valid',
      identifier: { type: 'dns', value: 'files.example.com' },
      challenges: [{ type: 'http-01', url: at('challenge'), status: 'valid', token: 'T'.repeat(43) }],
    }),
  },
  challenge: { status: 200, headers: json, body: '{}' },
  finalize: {
    status: 400,
    headers: { 'content-type': 'application/problem+json', 'replay-nonce': 'bm9uY2U' },
    body: JSON.stringify({ type: 'urn:ietf:params:acme:error:badCSR', detail: 'no' }),
  },
};

const format = ({ status, headers, body }: Answer): Buffer =>
  Buffer.from(
    [String(status), ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', body].join(
      '\n',
    ),
  );

/** As a client of HTTP reads it, from text that a test can change; undefined: such an answer never gets here. */
function parseAnswer(text: string): Answer | undefined {
  const end = text.indexOf('\n\n');
  const [first = '', ...lines] = text.slice(0, end === -1 ? undefined : end).split('\n');
  const status = Number(first);
  if (!Number.isInteger(status) || status < 200 || status > 599) return undefined;
  const headers = Object.fromEntries(
    lines.flatMap((line) => {
      const colon = line.indexOf(': ');
      return colon === -1 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 2)]];
    }),
  );
  return { status, headers, body: end === -1 ? '' : text.slice(end + 2) };
}

export function buildAcmeAnswers(): Target {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const kinds = ['directory', 'nonce', 'account', 'order', 'order/1', 'authorization', 'finalize'];
  return {
    name: 'acme-answers',
    kinds,
    corpus: kinds.map((kind): Sample => ({
      kinds: [kind],
      bytes: format(honest[kind] ?? { status: 500, headers: {}, body: '' }),
    })),
    async run(input, { kinds: [kind = ''] }): Promise<Outcome> {
      const changed = parseAnswer(input.toString('utf8'));
      if (changed === undefined) return { taken: [], isRefused: true };
      let asked = 0;
      /** What came after the changed answer, so it was taken. */
      let isPast = false;
      let wasAsked = false;
      let shown = 0;
      const http: OutboundClient = {
        send: async ({ url }) => {
          asked += 1;
          if (asked > asksMax) throw new Error('asks and asks');
          if (url.origin !== server) throw new Error(`asks ${url.origin}`);
          const place = url.pathname.slice(1);
          if (wasAsked && place !== kind) isPast = true;
          if (place !== kind) return honest[place] ?? { status: 404, headers: json, body: '{}' };
          wasAsked = true;
          return changed;
        },
        close: async () => undefined,
      };
      let now = 0;
      const clock = { now: () => now, monotonic: () => now };
      try {
        const account = await openAccount({
          directory: new URL(at('directory')),
          key,
          email: 'admin@example.com',
          http,
          clock,
        });
        await orderCertificate({
          account,
          names: ['files.example.com'],
          challenges: { show: async () => void (shown += 1), hide: () => void (shown -= 1) },
          clock,
          wait: async (ms) => void (now += ms),
        });
        throw new Error('a certificate of nobody was taken');
      } catch (error) {
        if (!isSallyportError(error, 'certificate-refused')) throw error;
        if (shown !== 0) throw new Error('a challenge is still shown', { cause: error });
        const isTaken = isPast || (kind === 'finalize' && changed.status >= 400);
        return { taken: isTaken ? [kind] : [], isRefused: !isTaken };
      }
    },
  };
}

export function buildSmsAnswers(): Target {
  const good: Answer = { status: 200, headers: {}, body: '{"status": "queued", "sid": "SM1"}' };
  const token = '493817';
  return {
    name: 'sms-answers',
    kinds: ['yes'],
    corpus: [
      { kinds: ['yes'], bytes: format(good) },
      {
        kinds: ['yes'],
        bytes: format({ ...good, status: 201, body: '{"sid": "SM1", "STATUS": "Queued"}' }),
      },
    ],
    async run(input) {
      const answer = parseAnswer(input.toString('utf8'));
      if (answer === undefined) return { taken: [], isRefused: true };
      const gateway = buildSmsGateway(
        {
          url: 'https://sms.example.com/send',
          method: 'POST',
          headers: {},
          body: 'To={otp_to}&Body={otp_token}',
          from: '',
          success: { status: [200, 201], body: ['"status":*"queued"'] },
          failure: { status: [202], body: ['"error_code":*2'] },
        },
        { send: async () => answer, close: async () => undefined },
      );
      try {
        await gateway.send({ to: '+15551230000', token: new Secret(token) });
        return { taken: ['yes'], isRefused: false };
      } catch (error) {
        if (!isSallyportError(error, 'delivery-failed')) throw error;
        if ((error.detail ?? '').includes(token)) throw new Error('tells the code', { cause: error });
        return { taken: [], isRefused: true };
      }
    },
  };
}
