import { foldUsername } from '#main-agent/users/username.ts';
import type { LoginExplainer, LoginQuestion, ValueOrigin } from '#main-agent/admin/ports.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import { isInNetworks } from './account-rules.ts';
import { assess } from './assessment.ts';
import { explainLogin } from './explain.ts';
import { throttleScopes } from './first-factor.ts';
import { disableAfterInARow, sessionsPerUserMax } from './limits.ts';
import { codeScope, type LoginParts } from './login-parts.ts';

/** Facts that no login needs. */
export interface ExplainedFacts {
  /** Where each value of a user comes from. */
  originsOf(username: string): Promise<readonly ValueOrigin[]>;
  /** What a node banned this address for by itself. */
  findEdgeBan(clientIp: string): string | undefined;
  /** Why the last code that went this way did not arrive, if it did not. */
  findDeliveryProblem(transport: Transport): string | undefined;
  /** The node's own switch; undefined: it is not connected. */
  nodeValidatedLogins(node: string): boolean | undefined;
}

/** Looks up what `explain login` explains. */
export function buildLoginExplainer(parts: LoginParts, facts: ExplainedFacts): LoginExplainer {
  const { clock, config, delivered, state, users, vault } = parts;

  return {
    async explain(question) {
      const user = users.find(question.user);
      const nowMs = clock.now();
      const asked = {
        username: question.user,
        protocol: question.protocol,
        clientIp: question.ip,
        node: question.node,
        ban: parts.findBan(question.user, question.ip) ?? facts.findEdgeBan(question.ip),
        nowMs,
        isBaitName: config.bans.baitNames.includes(foldUsername(question.user)),
        isNeverBanned: isInNetworks(question.ip, config.bans.neverBan),
      };
      if (user === undefined) return explainLogin({ ...asked, user });
      const isKnownPlace = (await state.lastGoodLogin(user.username, question.ip)) !== undefined;
      const [status, failures, origins, passwordThrottles] = await Promise.all([
        vault.status(user.username),
        state.failures(codeScope(user.username)),
        facts.originsOf(user.username),
        listThrottles(parts, question, isKnownPlace),
      ]);
      return explainLogin({
        ...asked,
        user,
        status,
        assessment: assess(user, status, {
          protocol: question.protocol,
          nowMs,
          // Of a node that is not named or not there nothing else is known.
          nodeValidatedLogins:
            facts.nodeValidatedLogins(question.node ?? '') ?? config.twoFactor.validatedLogins,
          config,
          delivered,
        }),
        sessions: {
          open: parts.sessions.countOf(user.username, question.protocol),
          most: user.limits.sessions ?? sessionsPerUserMax,
        },
        checks: parts.passwords.queue,
        transports: delivered.transportsFor(user).map(({ transport }) => ({
          transport,
          problem: facts.findDeliveryProblem(transport),
        })),
        lockedUntilMs: failures.lockedUntilMs,
        isDisabled: failures.inARow >= disableAfterInARow,
        passwordThrottles,
        isKnownPlace,
        trustedNetwork: findTrustedNetwork(parts, question),
        leases: parts.leases
          .list()
          .filter((one) => one.username === user.username && one.protocol === question.protocol)
          .filter((one) => one.clientIp === question.ip && (question.node ?? one.node) === one.node)
          .map((one) => one.agent),
        origins,
      });
    },
  };
}

/** Until when tries from such a place are let through slowly, for this user and through this node. */
async function listThrottles(
  { clock, state }: LoginParts,
  { user, ip, node }: LoginQuestion,
  isKnownPlace: boolean,
): Promise<string[]> {
  const scopes = throttleScopes(user, ip, node, isKnownPlace);
  const found = await Promise.all(
    scopes.map(async ({ of, scope }) => ({ of, untilMs: (await state.failures(scope)).lockedUntilMs ?? 0 })),
  );
  return found
    .filter(({ untilMs }) => untilMs > clock.now())
    .map(({ of, untilMs }) => `${of} throttled until ${new Date(untilMs).toISOString()}`);
}

function findTrustedNetwork({ config }: LoginParts, question: LoginQuestion): string | undefined {
  const { node, ip } = question;
  return config.twoFactor.trustedNetworks.find(
    (one) => (node === undefined || one.nodes.includes(node)) && isInNetworks(ip, [one.cidr]),
  )?.cidr;
}
