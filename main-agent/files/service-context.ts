import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { FinishedUploads } from './finished-uploads.ts';
import type { Finishing } from './finishing.ts';
import type { HandleTable } from './handles.ts';
import type { MountTree } from './mounts.ts';
import type { Quota } from './quota.ts';
import type { Receipts } from './receipts.ts';
import type { SortedPages } from './sorted-pages.ts';

/** What the verbs share. */
export interface FileContext {
  readonly clock: Clock;
  readonly log: Log;
  /** When this service was built: the time shown for folders that are on no disk. */
  readonly builtAtMs: number;
  readonly mounts: MountTree;
  readonly handles: HandleTable;
  readonly quota: Quota;
  readonly receipts: Receipts;
  readonly bandwidth: Bandwidth;
  readonly finishedUploads: FinishedUploads;
  readonly finishing: Finishing;
  readonly sortedPages: SortedPages;
}
