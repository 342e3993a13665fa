import { Authenticator } from '#scripts/demonstration/codes.ts';
import { HttpsSession } from './https-session.ts';
import { pngOfDataUrl, readQrCode, secretOfUri } from './qr-code.ts';

/** Somebody who uses the public HTTPS API without a browser. One object is one sign-in after the other. */

export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** What of a product is asked; the whole one has it. */
export interface Front {
  readonly site: { readonly https: string; readonly files: { readonly ca: string } };
  /** Of this machine, to come from; 127.0.0.1 if it is not said. */
  readonly localAddress?: string;
  password(user: string): string;
}

export class HttpsUser {
  readonly name: string;
  readonly #product: Front;
  #session: HttpsSession;

  constructor(product: Front, name: string) {
    this.#product = product;
    this.name = name;
    this.#session = this.#fresh();
  }

  /** The first step, in a session of its own. */
  password(): Promise<ApiAnswer> {
    this.#session = this.#fresh();
    const password = this.#product.password(this.name);
    return this.call('POST', '/api/login', { username: this.name, password });
  }

  code(code: string): Promise<ApiAnswer> {
    return this.call('POST', '/api/login/code', { code });
  }

  /** Both steps; the answer of the last one. */
  async signIn(code?: string): Promise<ApiAnswer> {
    const first = await this.password();
    return code === undefined || first.body['state'] !== 'code-required' ? first : this.code(code);
  }

  /** `setup`, `confirm` and `prove`, with an authenticator that knows only the picture. */
  async setUp(): Promise<{
    app: Authenticator;
    recovery: readonly string[];
    uri: string;
    requiredOn: unknown;
  }> {
    const setup = requireStatus(await this.call('POST', '/api/two-factor/setup'), 201);
    const uri = await readQrCode(pngOfDataUrl(String(setup['qr'])));
    const app = new Authenticator(secretOfUri(uri));
    requireStatus(await this.call('POST', '/api/two-factor/setup/confirm'), 200);
    const code = await app.next();
    const proven = requireStatus(await this.call('POST', '/api/two-factor/setup/prove', { code }), 200);
    const recovery = (proven['recovery_codes'] as readonly unknown[]).map(String);
    return { app, recovery, uri, requiredOn: proven['required_on'] };
  }

  call(method: string, path: string, value?: object): Promise<ApiAnswer> {
    return this.#session.json(method, path, value);
  }

  #fresh(): HttpsSession {
    const { site, localAddress } = this.#product;
    return new HttpsSession(site.https, site.files.ca, localAddress);
  }
}

function requireStatus(answer: ApiAnswer, status: number): Record<string, unknown> {
  if (answer.status === status) return answer.body;
  throw new Error(`${answer.status} instead of ${status}: ${JSON.stringify(answer.body)}`);
}
