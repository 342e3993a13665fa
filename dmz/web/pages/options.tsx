import { useEffect } from 'preact/hooks';
import type { Account } from '#dmz/http-api/account.ts';
import type { Protocol } from '#dmz/http-api/values.ts';
import { AppHeader } from '#dmz/web/components/app-header.tsx';
import { Button } from '#dmz/web/components/button.tsx';
import { Choice } from '#dmz/web/components/choice.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { PasswordPanel } from '#dmz/web/components/password-panel.tsx';
import { RecoveryCodesPanel } from '#dmz/web/components/recovery-codes-panel.tsx';
import { SessionsPanel } from '#dmz/web/components/sessions-panel.tsx';
import { SshKeysPanel } from '#dmz/web/components/ssh-keys-panel.tsx';
import { languageNames, languages } from '#dmz/web/i18n/language.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';
import { themes } from '#dmz/web/state/preferences.ts';

function AccountSection({ account }: { readonly account: Account }) {
  const { session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const { used_bytes: used, limit_bytes: limit } = account.quota;
  return (
    <Panel view="account" title={words.options.account}>
      <dl class="facts">
        <dt>{words.options.username}</dt>
        <dd translate={false}>{account.username}</dd>
        {account.display_name !== '' && account.display_name !== account.username && (
          <>
            <dt>{words.options.displayName}</dt>
            <dd>{account.display_name}</dd>
          </>
        )}
        <dt>{words.options.storage}</dt>
        <dd>
          {limit === undefined
            ? words.options.used(formats.size(used))
            : words.options.usedOf(formats.size(used), formats.size(limit))}
          {limit !== undefined && (
            <progress
              class="meter"
              max={1}
              value={used / Math.max(1, limit)}
              aria-label={words.options.storage}
            />
          )}
        </dd>
        <dt>{words.options.signedInSince}</dt>
        <dd>{formats.fullDate(Date.parse(account.session.started_at))}</dd>
      </dl>
      <Button icon="signOut" onClick={() => void session.signOut()}>
        {words.header.signOut}
      </Button>
    </Panel>
  );
}

function TwoFactorSection({ account }: { readonly account: Account }) {
  const { route } = useClient();
  const words = useWords();
  const formats = useFormats();
  const { enrolled, required_on: requiredOn, may_set_up: maySetUp, ...twoFactor } = account.two_factor;
  const protocols = (names: readonly Protocol[]): string =>
    names.map((name) => (name === 'https' ? words.options.https : words.options.sftp)).join(', ');
  const badge = !enrolled ? (
    <span class="badge">{words.options.twoFactorBadgeOff}</span>
  ) : (
    <span class="badge badge-ok">
      {requiredOn.length > 0 ? words.options.twoFactorBadgeOn : words.options.twoFactorBadgeReady}
    </span>
  );
  const requiredFrom = Date.parse(twoFactor.required_from ?? '');
  const isLater = requiredFrom > Date.now();
  return (
    <Panel view="two-factor" title={words.options.twoFactor} badge={badge}>
      <p>
        {enrolled
          ? maySetUp
            ? words.options.twoFactorReplace
            : words.options.twoFactorOn
          : maySetUp
            ? words.options.twoFactorOff
            : words.options.twoFactorClosed}
      </p>
      {requiredOn.length > 0 && !isLater && <p>{words.options.requiredOn(protocols(requiredOn))}</p>}
      {enrolled && requiredOn.length === 0 && <p>{words.options.requiredNowhere}</p>}
      {isLater && <p>{words.options.requiredFrom(formats.day(requiredFrom))}</p>}
      {maySetUp && (
        <Button kind="primary" icon="shield" onClick={() => route.go({ name: 'setup' })}>
          {enrolled ? words.options.replace : words.options.setUp}
        </Button>
      )}
    </Panel>
  );
}

function AppearanceSection() {
  const { preferences } = useClient();
  const words = useWords();
  return (
    <Panel view="appearance" title={words.options.appearance}>
      <Choice
        label={words.options.theme}
        value={preferences.theme.value}
        options={themes.map((theme) => ({ value: theme, label: words.options.themes[theme] }))}
        onChange={(theme) => preferences.chooseTheme(theme)}
      />
      <Choice
        label={words.options.language}
        value={preferences.language.value}
        options={languages.map((language) => ({
          value: language,
          label: languageNames[language],
          lang: language,
        }))}
        onChange={(language) => void preferences.chooseLanguage(language)}
      />
    </Panel>
  );
}

/** What a person can see and change about their account and this page. */
export function OptionsPage({ account }: { readonly account: Account }) {
  const { brand, session } = useClient();
  const words = useWords();
  useEffect(() => {
    document.title = `${words.options.title} – ${brand}`;
  }, [words]);
  useEffect(() => {
    // Quota and recovery codes may have changed since the sign-in.
    void session.refresh();
  }, []);
  return (
    <div class="app">
      <AppHeader />
      <main class="column" data-view="options" id="content" tabIndex={-1}>
        <PageLink class="back-link" to={{ name: 'files', folder: [] }}>
          <Icon name="chevronLeft" />
          {words.options.back}
        </PageLink>
        <h1>{words.options.title}</h1>
        <TwoFactorSection account={account} />
        {account.two_factor.enrolled && (
          <RecoveryCodesPanel username={account.username} left={account.two_factor.recovery_codes_left} />
        )}
        {account.may.password && <PasswordPanel />}
        <SshKeysPanel mayChange={account.may.ssh_keys} />
        <SessionsPanel />
        <AccountSection account={account} />
        <AppearanceSection />
      </main>
    </div>
  );
}
