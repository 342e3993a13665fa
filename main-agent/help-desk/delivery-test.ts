import { deliverWithin, type CodeDelivery, type Transport } from '#main-agent/two-factor/code-delivery.ts';
import { maskAddress, type DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import { transportLastMs } from '#main-agent/two-factor/limits.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';

/** Sends a message as a code would go. */
export interface DeliveryTester {
  /** By every transport the user has an address for. Rejects `not-found` when there is none. */
  test(username: string): Promise<readonly DeliveryTestResult[]>;
}

interface DeliveryTestResult {
  readonly transport: Transport;
  /** Masked. */
  readonly address: string;
  readonly tookMs: number;
  /** Why it was not accepted; undefined: relay or gateway took it. */
  readonly problem?: string;
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/**
 * Sends one user a message by every way a code would go, and says what became of each. It is the message of a real
 * code, so that the template is tested too; the code in it is all zeros and opens nothing, as no login knows it.
 */
export function buildDeliveryTester(
  { clock, config, delivered, users }: Pick<Parts, 'clock' | 'config' | 'delivered' | 'users'>,
  delivery: CodeDelivery,
): DeliveryTester {
  const { length, ttlMs } = config.twoFactor.delivered;

  return {
    async test(username) {
      const user = users.find(username);
      if (user === undefined) throw new SallyportError('not-found', `There is no user ${username}`);
      const ways = delivered.transportsFor(user);
      if (ways.length === 0) {
        throw new SallyportError('not-found', 'There is no way to send this user a code', {
          detail: `${username} has no address for what two_factor.delivered.transport names, or main has no section smtp or sms for it`,
          hint: `set one: sallyport users set ${username} email=…`,
        });
      }
      return Promise.all(ways.map((way) => sendOne(username, way)));
    },
  };

  async function sendOne(
    username: string,
    { transport, address }: { readonly transport: Transport; readonly address: string },
  ): Promise<DeliveryTestResult> {
    const startedAtMs = clock.monotonic();
    const result = (problem?: string): DeliveryTestResult => ({
      transport,
      address: maskAddress(transport, address),
      tookMs: Math.round(clock.monotonic() - startedAtMs),
      ...(problem !== undefined && { problem }),
    });
    const message = {
      username,
      transport,
      address,
      code: new Secret('0'.repeat(length)),
      clientIp: 'a test by your administrator',
      expiresInMs: ttlMs,
    };
    try {
      await deliverWithin(delivery, message, transportLastMs);
      return result();
    } catch (error) {
      return result(describeFailure(error));
    }
  }
}

/** The private half is for the admin who asks. */
function describeFailure(error: unknown): string {
  if (error instanceof SallyportError) return error.detail ?? error.publicMessage;
  return error instanceof Error ? error.message : String(error);
}
