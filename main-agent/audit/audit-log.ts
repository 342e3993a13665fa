import type { StateStore } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import type { Audit } from '#main-agent/state/audit-record.ts';

/** Standalone records, through the same store and therefore in the same order as those of changes. */
export function buildAudit(state: Pick<StateStore, 'commit'>): Audit {
  return {
    append: async (record, once) => {
      const atMs = Date.parse(record.time);
      const result = await state.commit([
        ...(once === undefined ? [] : [{ kind: 'note-receipt' as const, atMs, ...once }]),
        { kind: 'audit', record },
      ]);
      if (!result.ok && result.failed !== 'note-receipt') {
        throw new SallyportError('internal', 'Something went wrong on our side', {
          detail: `audit record not written: ${record.event}`,
        });
      }
    },
  };
}
