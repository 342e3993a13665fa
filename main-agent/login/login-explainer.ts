import type { LoginExplainer, LoginQuestion, ValueOrigin } from '#main-agent/admin/ports.ts';
import { isInNetworks } from './account-rules.ts';
import { assess } from './assessment.ts';
import { explainLogin } from './explain.ts';
import { disableAfterInARow } from './limits.ts';
import { codeScope, type LoginParts } from './login-parts.ts';

/** Looks up what `explain login` explains. */
export function buildLoginExplainer(
  parts: LoginParts,
  originsOf: (username: string) => Promise<readonly ValueOrigin[]>,
): LoginExplainer {
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
        nowMs,
      };
      if (user === undefined) return explainLogin({ ...asked, user });
      const [status, failures, origins] = await Promise.all([
        vault.status(user.username),
        state.failures(codeScope(user.username)),
        originsOf(user.username),
      ]);
      return explainLogin({
        ...asked,
        user,
        status,
        assessment: assess(user, status, {
          protocol: question.protocol,
          nowMs,
          nodeValidatedLogins: config.twoFactor.validatedLogins,
          config,
          delivered,
        }),
        transports: delivered.transportsFor(user).map((one) => one.transport),
        lockedUntilMs: failures.lockedUntilMs,
        isDisabled: failures.inARow >= disableAfterInARow,
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

function findTrustedNetwork({ config }: LoginParts, question: LoginQuestion): string | undefined {
  const { node, ip } = question;
  return config.twoFactor.trustedNetworks.find(
    (one) => (node === undefined || one.nodes.includes(node)) && isInNetworks(ip, [one.cidr]),
  )?.cidr;
}
