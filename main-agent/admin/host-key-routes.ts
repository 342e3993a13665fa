import type { HostKeyView, HostKeys } from '#main-agent/host-keys/host-keys.ts';
import type { NodeAdmin } from '#main-agent/link/node-admin.ts';
import { plainName } from '#shared/config/value-types.ts';
import { hostKeysMax } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import { formatPublicKeyLine } from '#shared/ssh-key/parse.ts';
import { z } from 'zod';
import { hostKeysAnswer, type nodeHostKeys, privateHostKeys } from './answers.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';
import { reason } from './values.ts';

/** `/v1/hostkeys`: the SSH host keys that main has for nodes which have none themselves. */

export interface HostKeyPorts {
  readonly hostKeys: Pick<HostKeys, 'list' | 'isOfMain' | 'rotate' | 'import' | 'export' | 'share'>;
  readonly nodes: Pick<NodeAdmin, 'list'>;
}

/** An RSA key of 16,384 bits in PEM. */
const fileCharactersMax = 16 * 1024;
const whyChanged = z.strictObject({ reason: reason.default('by an admin') });

export function buildHostKeyRoutes({ hostKeys, nodes }: HostKeyPorts): readonly Route[] {
  const view = (node: string): z.output<typeof nodeHostKeys> => ({
    node,
    host_key: hostKeys.isOfMain(node) ? 'main' : 'local',
    keys: hostKeys.list(node).map(viewKey),
  });
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/hostkeys',
      role: 'viewer',
      summary:
        'SSH host keys of the nodes, as far as main has them: which signs, which is next, which is going',
      query: noQuery,
      body: noBody,
      answer: hostKeysAnswer,
      handle: async () => ({ body: { nodes: nodes.list().map(({ name }) => view(name)) } }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/hostkeys/{node}/rotate',
      role: 'admin',
      summary:
        'The announced key takes its turn and another one is announced; clients that looked know it already',
      query: noQuery,
      body: whyChanged,
      answer: hostKeysAnswer,
      handle: async ({ param, body, caller }) => {
        await hostKeys.rotate(param('node'), { actor: caller.actor, reason: body.reason });
        return { body: { nodes: [view(param('node'))] }, note: `node ${param('node')}` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/hostkeys/{node}/import',
      role: 'admin',
      summary: 'Private host keys that a node has now become main’s, so that clients know the node as before',
      query: noQuery,
      body: z.strictObject({
        files: z.array(z.string().max(fileCharactersMax)).min(1).max(hostKeysMax),
        reason: reason.default('by an admin'),
      }),
      answer: hostKeysAnswer,
      handle: async ({ param, body, caller }) => {
        const files = body.files.map((file) => new Secret(file));
        await hostKeys.import(param('node'), files, { actor: caller.actor, reason: body.reason });
        return { body: { nodes: [view(param('node'))] }, note: `node ${param('node')}` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/hostkeys/{node}/share',
      role: 'admin',
      summary: 'From now on the node has the host keys of another one: to clients the two are one server',
      query: noQuery,
      body: z.strictObject({ with: plainName, reason: reason.default('by an admin') }),
      answer: hostKeysAnswer,
      handle: async ({ param, body, caller }) => {
        await hostKeys.share(param('node'), body.with, { actor: caller.actor, reason: body.reason });
        return { body: { nodes: [view(param('node'))] }, note: `node ${param('node')} with ${body.with}` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/hostkeys/{node}/export',
      role: 'admin',
      summary: 'The private host keys that sign for the node, for a node that is to have its own',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: privateHostKeys,
      handle: async ({ param, body, caller }) => {
        const why = { actor: caller.actor, reason: body.reason };
        const files = await hostKeys.export(param('node'), why);
        return { body: { files: files.map((file) => file.expose()) }, note: `node ${param('node')}` };
      },
    }),
  ];
}

function viewKey({ publicKey, standing, sinceMs, nodes, untilMs }: HostKeyView) {
  return {
    type: publicKey.type,
    fingerprint: publicKey.fingerprint,
    line: formatPublicKeyLine(publicKey),
    standing,
    since: new Date(sinceMs).toISOString(),
    ...(untilMs !== undefined && { until: new Date(untilMs).toISOString() }),
    nodes: [...nodes],
  };
}
