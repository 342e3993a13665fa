import { Said } from '#dmz/web/components/said.tsx';
import { named } from '#dmz/web/i18n/sentence.ts';
import { useEffect, useId, useState } from 'preact/hooks';
import type { OwnSshKey } from '#dmz/http-api/account.ts';
import { addSshKey, listSshKeys, removeSshKey } from '#dmz/web/api/self-service.ts';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { StepUpForm } from '#dmz/web/components/step-up-form.tsx';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

type Asked = { readonly name: 'add' } | { readonly name: 'remove'; readonly key: OwnSshKey };

/** Keys that open SFTP. `mayChange`: the administrator lets people do that themselves. */
export function SshKeysPanel({ mayChange }: { readonly mayChange: boolean }) {
  const { http, notices, session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const fieldId = useId();
  const [keys, setKeys] = useState<readonly OwnSshKey[]>([]);
  const [asked, setAsked] = useState<Asked | undefined>();
  const [line, setLine] = useState('');
  const load = async (): Promise<void> => {
    try {
      setKeys(await listSshKeys(http));
    } catch {
      // The panel stays as it was; what matters shows elsewhere.
    }
  };
  useEffect(() => void load(), []);
  const done = async (sentence: string): Promise<undefined> => {
    notices.info(sentence);
    setAsked(undefined);
    setLine('');
    await Promise.all([load(), session.refresh()]);
    return undefined;
  };
  if (keys.length === 0 && !mayChange) return null;
  return (
    <Panel view="ssh-keys" title={words.sshKeys.title}>
      {keys.length === 0 && <p>{words.sshKeys.none}</p>}
      <ul class="own-list">
        {keys.map((key) => (
          <li key={key.id}>
            <div class="own-text">
              <span class="own-name" translate={false}>
                {key.comment === '' ? key.type : `${key.comment} (${key.type})`}
              </span>
              <span class="own-facts mono" translate={false}>
                {key.fingerprint}
              </span>
              {key.added_at !== undefined && (
                <span class="own-facts" title={formats.fullDate(Date.parse(key.added_at))}>
                  {words.sshKeys.added(formats.modified(Date.parse(key.added_at), Date.now()))}
                </span>
              )}
            </div>
            {mayChange && key.removable && (
              <IconButton
                icon="trash"
                label={words.sshKeys.remove(key.comment === '' ? key.fingerprint : key.comment)}
                onClick={() => setAsked({ name: 'remove', key })}
              />
            )}
          </li>
        ))}
      </ul>
      {mayChange && asked === undefined && (
        <Button icon="plus" onClick={() => setAsked({ name: 'add' })}>
          {words.sshKeys.add}
        </Button>
      )}
      {asked?.name === 'add' && (
        <StepUpForm
          submit={words.sshKeys.add}
          onCancel={() => setAsked(undefined)}
          onSubmit={async (proof) => {
            if (line.trim() === '') return words.sshKeys.missing;
            // Not even to our own server.
            if (line.includes('PRIVATE KEY')) return words.sshKeys.isPrivate;
            await addSshKey(http, line.trim(), proof);
            return done(words.sshKeys.addedDone);
          }}
        >
          <div class="field">
            <label for={fieldId}>{words.sshKeys.line}</label>
            <textarea
              id={fieldId}
              class="mono"
              rows={3}
              spellcheck={false}
              value={line}
              onInput={(event) => setLine(event.currentTarget.value)}
            />
            <p class="muted">{words.sshKeys.hint}</p>
          </div>
        </StepUpForm>
      )}
      {asked?.name === 'remove' && (
        <StepUpForm
          submit={words.sshKeys.removeSubmit}
          danger
          onCancel={() => setAsked(undefined)}
          onSubmit={async (proof) => {
            await removeSshKey(http, asked.key.id, proof);
            return done(words.sshKeys.removedDone);
          }}
        >
          <p>
            <Said text={words.sshKeys.removeQuestion(named(asked.key.fingerprint))} />
          </p>
        </StepUpForm>
      )}
    </Panel>
  );
}
