import type { ComponentChildren } from 'preact';
import { BrandMark } from '#dmz/web/components/brand-mark.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Menu, type MenuItem } from '#dmz/web/components/menu.tsx';
import { PageLink } from '#dmz/web/components/page-link.tsx';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** The bar on top of every page behind the sign-in. */
export function AppHeader({
  children,
  onShowKeyboard,
}: {
  readonly children?: ComponentChildren;
  readonly onShowKeyboard?: () => void;
}) {
  const { brand, session, route } = useClient();
  const words = useWords();
  const state = session.state.value;
  const username =
    state.name === 'signed-in' || state.name === 'setup-required' ? state.account.username : '';
  const signOut: MenuItem = {
    label: words.header.signOut,
    icon: 'signOut',
    onSelect: () => void session.signOut(),
  };
  const items: MenuItem[] =
    state.name === 'signed-in'
      ? [
          {
            label: words.header.files,
            icon: 'folder',
            onSelect: () => route.go({ name: 'files', folder: [] }),
          },
          { label: words.bin.title, icon: 'trash', onSelect: () => route.go({ name: 'bin' }) },
          { label: words.header.options, icon: 'settings', onSelect: () => route.go({ name: 'options' }) },
          ...(onShowKeyboard === undefined
            ? []
            : [{ label: words.header.keyboard, icon: 'keyboard' as const, onSelect: onShowKeyboard }]),
          signOut,
        ]
      : [signOut];
  return (
    <header class="app-header">
      <a class="skip-link" href="#content" onClick={skipToContent}>
        {words.header.skip}
      </a>
      <PageLink class="app-brand" to={{ name: 'files', folder: [] }} label={brand}>
        <BrandMark size={28} />
        <span class="app-brand-name" translate={false}>
          {brand}
        </span>
      </PageLink>
      <div class="app-header-middle">{children}</div>
      <Menu class="account-button" label={words.header.account(username)} items={items}>
        <Icon name="user" />
        <span class="account-name" translate={false}>
          {username}
        </span>
        <Icon name="chevronDown" size={14} />
      </Menu>
    </header>
  );
}

function skipToContent(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}
