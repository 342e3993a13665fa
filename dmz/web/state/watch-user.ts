import { effect, untracked } from '@preact/signals';
import type { Account } from '#dmz/http-api/account.ts';
import type { Bin } from '#dmz/web/state/bin.ts';
import type { Folder } from '#dmz/web/state/folder.ts';
import type { Notice, Notices } from '#dmz/web/state/notices.ts';
import type { Preferences } from '#dmz/web/state/preferences.ts';
import type { Selection } from '#dmz/web/state/selection.ts';
import type { Session } from '#dmz/web/state/session.ts';
import type { Views } from '#dmz/web/state/views.ts';
import type { Uploads } from '#dmz/web/state/uploads.ts';

/**
 * People may follow each other on one page without a reload. What one of them saw is gone before the next can see it,
 * and nothing that one began is ever sent with the other's cookie: uploads wait while nobody is signed in, go on when it
 * is the same person again, and are dropped when it is another.
 */
export function watchUser(parts: {
  readonly session: Session;
  readonly uploads: Uploads;
  readonly folder: Folder;
  readonly selection: Selection;
  readonly notices: Notices;
  readonly preferences: Preferences;
  readonly views: Pick<Views, 'forget'>;
  readonly bin: Pick<Bin, 'close'>;
}): void {
  const { session, uploads, folder, selection, notices, preferences, views, bin } = parts;
  let owner = '';
  let isHere = false;

  function leave(): void {
    isHere = false;
    notices.dismiss();
    uploads.hold();
    folder.close();
    bin.close();
    selection.reset();
  }

  function arrive(account: Account): void {
    const isAnother = owner !== '' && owner !== account.username;
    if (isAnother) {
      leave();
      views.forget();
      uploads.clearAll();
    }
    owner = account.username;
    const reminder = isHere ? undefined : findReminder(account, preferences);
    if (reminder !== undefined) notices.remind(reminder.text, reminder.link);
    isHere = true;
    void uploads.resumeAfterSignIn();
  }

  effect(() => {
    const state = session.state.value;
    untracked(() => {
      if (state.name === 'signed-in') arrive(state.account);
      else if (isHere) leave();
      // Also what was kept over a reload by which the session ended.
      if (state.name !== 'signed-in' && state.name !== 'starting') views.forget();
    });
  });
}

type Reminder = Pick<Notice, 'text' | 'link'>;

/** What this person is told once after signing in; in their language where we have the words. */
function findReminder(account: Account, preferences: Preferences): Reminder | undefined {
  const { two_factor: factor, notice, session } = account;
  const words = preferences.words.value.options;
  if (session.method === 'recovery')
    return {
      text: words.byRecovery(factor.recovery_codes_left),
      link: { label: words.title, to: { name: 'options' } },
    };
  if (session.method === 'bypass' && factor.may_set_up)
    return { text: words.byGiven, link: { label: words.title, to: { name: 'options' } } };
  const fromMs = Date.parse(factor.required_from ?? '');
  if (factor.enrolled || !(fromMs > Date.now())) return notice === undefined ? undefined : { text: notice };
  const date = preferences.formats.value.day(fromMs);
  return { text: factor.may_set_up ? words.reminder(date) : words.reminderClosed(date) };
}
