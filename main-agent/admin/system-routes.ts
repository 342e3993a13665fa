import type { AuditFeed } from '#main-agent/audit/feed.ts';
import { protocols } from '#shared/login.ts';
import { version } from '#shared/version.ts';
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Doctor } from '#main-agent/doctor/doctor.ts';
import { describeFinding, type Examination } from '#shared/health/check.ts';
import { explanation, statusAnswer } from './answers.ts';
import { viewNodes } from './node-routes.ts';
import { SallyportError } from '#shared/error.ts';
import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { SessionAdmin } from '#main-agent/sessions/sessions.ts';
import type { Surveys } from '#main-agent/files/survey.ts';
import type { LoginExplainer } from '#main-agent/help-desk/login-explainer.ts';
import type { NodeAdmin } from '#main-agent/link/node-admin.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/status`, `/v1/explain-login`: what an admin asks when somebody asks "why". */

export interface SystemPorts {
  readonly name: string;
  readonly startedAtMs: number;
  readonly configFile: string | undefined;
  readonly switches: {
    readonly validatedLogins: boolean;
    readonly isSealed: boolean;
    readonly autoEnable: boolean;
  };
  readonly users: UserDirectory;
  readonly sessions: SessionAdmin;
  readonly nodes: NodeAdmin;
  readonly explainer: LoginExplainer;
  readonly auditFeed: Pick<AuditFeed, 'head'>;
  readonly doctor: Doctor;
  readonly surveys: Surveys;
}

export function buildSystemRoutes(ports: SystemPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/status',
      role: 'viewer',
      summary: 'Is all well? Links, problems in user files, what is switched off',
      saysWhatIsWrong: true,
      query: noQuery,
      body: noBody,
      answer: statusAnswer,
      handle: async () => ({ body: viewStatus(ports, await ports.doctor.examine('kept')) }),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/explain-login',
      role: 'viewer',
      summary: 'What would happen if this user, or anybody, logged in from there, rule by rule',
      query: z.strictObject({
        user: z.string().min(1).max(255).optional(),
        protocol: z.enum(protocols).optional(),
        ip: z.string().refine((text) => isIP(text) !== 0, 'an IP address'),
        node: z.string().max(64).optional(),
      }),
      body: noBody,
      answer: explanation,
      handle: async ({ query }) => {
        const { node, user, protocol, ip } = query;
        const place = { ip, ...(node !== undefined && { node }) };
        if (user === undefined)
          return {
            body: await ports.explainer.explainAddress({
              ...place,
              ...(protocol !== undefined && { protocol }),
            }),
          };
        if (protocol === undefined)
          throw new SallyportError('bad-request', 'With a user, say which protocol: https or sftp');
        return { body: await ports.explainer.explain({ ...place, user, protocol }) };
      },
    }),
  ];
}

function viewStatus(ports: SystemPorts, { findings, unlooked }: Examination) {
  const problems = findings.filter(({ state }) => state === 'bad').map(describeFinding);
  const sessions = ports.sessions.list();
  return {
    ok: problems.length === 0,
    problems,
    notices: findings.filter(({ state }) => state === 'warning').map(describeFinding),
    findings: findings.filter(({ state }) => state !== 'good'),
    unlooked,
    looked: new Set(findings.map(({ check }) => check)).size,
    name: ports.name,
    version,
    started_at: new Date(ports.startedAtMs).toISOString(),
    ...(ports.configFile !== undefined && { config_file: ports.configFile }),
    two_factor: {
      validated_logins: ports.switches.validatedLogins,
      sealed: ports.switches.isSealed,
      auto_enable: ports.switches.autoEnable,
    },
    users: { count: [...ports.users.list()].length, problems: ports.users.problems() },
    sessions: sessions.length,
    nodes: viewNodes(ports.nodes.list(), sessions),
    storages: ports.surveys.report().map(({ storage, looked, isComplete, unserved, endedAtMs }) => ({
      storage,
      looked,
      complete: isComplete,
      unserved,
      ...(endedAtMs !== undefined && { looked_at: new Date(endedAtMs).toISOString() }),
    })),
    audit: ports.auditFeed.head(),
  };
}
