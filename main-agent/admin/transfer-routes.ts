import { SallyportError } from '#shared/error.ts';
import type { Transfer, TransferAdmin } from '#main-agent/files/transfers.ts';
import { z } from 'zod';
import { transfersPage } from './answers.ts';
import { pageBy, pageParameters, timeKey } from './http/page.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/transfers`: what flows now. What is finished is in the audit. */

export interface TransferPorts {
  readonly transfers: TransferAdmin;
}

export function buildTransferRoutes({ transfers }: TransferPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/transfers',
      role: 'viewer',
      summary: 'Files that are being sent or received now',
      query: z.strictObject({
        ...pageParameters(),
        user: z.string().max(255).optional(),
        node: z.string().max(64).optional(),
      }),
      body: noBody,
      answer: transfersPage,
      handle: async ({ query }) => {
        const all = transfers
          .list()
          .filter(
            (one) =>
              (query.user === undefined || one.username === query.user) &&
              (query.node === undefined || one.node === query.node),
          );
        const { rows, next } = pageBy(all, ({ id, startedAtMs }) => timeKey(startedAtMs, id), query);
        return { body: { transfers: rows.map(viewTransfer), next } };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/transfers/{id}',
      role: 'helpdesk',
      summary: 'End one transfer; an upload may be resumed',
      query: noQuery,
      body: noBody,
      answer: noAnswer,
      subject: ({ params }) => transfers.list().find(({ id }) => id === params['id'])?.username,
      handle: async ({ param }) => {
        const found = transfers.list().find(({ id }) => id === param('id'));
        if (await transfers.end(param('id')))
          return { note: `transfer ${param('id')}, ${found?.direction ?? 'done'} of ${found?.path ?? ''}` };
        throw new SallyportError('not-found', 'There is no such transfer', { hint: 'sallyport transfers' });
      },
    }),
  ];
}

function viewTransfer(transfer: Transfer): z.output<typeof transfersPage>['transfers'][number] {
  return {
    id: transfer.id,
    user: transfer.username,
    path: transfer.path,
    direction: transfer.direction,
    bytes: transfer.bytes,
    bytes_per_second: transfer.bytesPerSecond,
    since: new Date(transfer.startedAtMs).toISOString(),
    session: transfer.sessionKey,
    node: transfer.node,
    protocol: transfer.protocol,
    client_ip: transfer.clientIp,
  };
}
