import { z } from 'zod';
import { auditOutcomes } from '#main-agent/state/audit-record.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import { duration, plainName } from '#shared/config/value-types.ts';
import { checkTemplate } from './notify/template.ts';
import { eventMailParts, eventMailTexts } from './notify/event-mail.ts';

/** Whom what happens is told: patterns of events, what narrows them, and who is mailed. */

const eventNames = z
  .array(
    z.string().regex(/^([a-z]+[a-z.-]*)?\*?$/, { error: 'an event such as login.refused, login.* or *' }),
  )
  .min(1)
  .max(64);
export const eventPatterns = eventNames.default(['*']);

/** Each is looked at for each record, hence few. */
const some = <T extends z.ZodType>(one: T) => z.array(one).min(1).max(64).optional();
const groupName = z.string().min(1).max(64);

export const eventFilter = {
  outcomes: some(z.enum(auditOutcomes)),
  users: some(z.string().min(1).max(64).transform(foldUsername)),
  groups: some(groupName),
  folders: some(z.string().startsWith('/').refine(isFolder, { error: 'a folder such as /incoming' })),
  names: some(
    z
      .string()
      .max(255)
      .regex(/^[^/]+$/, { error: 'a name such as *.pdf, without folders' }),
  ),
};

/** As it stands in a record: what a path may not have, no file lies in. */
function isFolder(path: string): boolean {
  try {
    return !/(^|\/)\.\.?(\/|$)/.test(path) && parseVirtualPath(path) !== undefined;
  } catch {
    return false;
  }
}

const address = z
  .string()
  .max(254)
  .regex(/^[^\s@<>",;]+@[^\s@<>",;]+$/, { error: 'an e-mail address, or `user`' });

const text = z.string().min(1).max(16_384);
const oneLine = text.max(200).regex(/^\P{Cc}*$/u, { error: 'one line' });

export const eventMail = z
  .strictObject({
    name: plainName,
    events: eventNames,
    ...eventFilter,
    outcomes: eventFilter.outcomes.default(['ok']),
    to: z
      .array(z.union([z.literal('user'), address]))
      .min(1)
      .max(16),
    within: duration('1s', '1h').prefault('2m'),
    subject: oneLine.default(eventMailTexts.subject),
    line: oneLine.default(eventMailTexts.line),
    text: text.default(eventMailTexts.text),
  })
  .superRefine((entry, issues) => {
    for (const key of ['subject', 'line', 'text'] as const)
      try {
        checkTemplate(key, entry[key], eventMailParts[key], key === 'text' ? ['events'] : []);
      } catch (error) {
        const message = error instanceof Error && 'detail' in error ? String(error.detail) : 'a template';
        issues.addIssue({ code: 'custom', path: [key], message, input: entry[key] });
      }
  })
  .transform(({ within, subject, line, text: body, ...rest }) => ({
    ...rest,
    withinMs: within,
    template: { subject, line, text: body },
  }));

export type EventMailConfig = z.output<typeof eventMail>;
