/**
 * How a stranger's file is labelled. Only types a browser shows without running anything in them get their name and
 * may be shown; all else is bytes to save.
 */

const shown: Readonly<Record<string, string>> = {
  avif: 'image/avif',
  bmp: 'image/bmp',
  gif: 'image/gif',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  csv: 'text/plain; charset=utf-8',
  log: 'text/plain; charset=utf-8',
  md: 'text/plain; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
};

const saved: Readonly<Record<string, string>> = {
  '7z': 'application/x-7z-compressed',
  doc: 'application/msword',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  flac: 'audio/flac',
  gz: 'application/gzip',
  json: 'application/json',
  mkv: 'video/x-matroska',
  mov: 'video/quicktime',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  odt: 'application/vnd.oasis.opendocument.text',
  ods: 'application/vnd.oasis.opendocument.spreadsheet',
  ogg: 'audio/ogg',
  pdf: 'application/pdf',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  tar: 'application/x-tar',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  wav: 'audio/wav',
  webm: 'video/webm',
  xls: 'application/vnd.ms-excel',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  zip: 'application/zip',
  zst: 'application/zstd',
};

/** Content-Type and Content-Disposition of a file of that name. */
export function labelContent(name: string): { readonly type: string; readonly disposition: string } {
  const extension = /\.([A-Za-z0-9]{1,8})$/.exec(name)?.[1]?.toLowerCase() ?? '';
  const shownType = Object.hasOwn(shown, extension) ? shown[extension] : undefined;
  const savedType = Object.hasOwn(saved, extension) ? saved[extension] : undefined;
  return {
    type: shownType ?? savedType ?? 'application/octet-stream',
    disposition: disposition(shownType === undefined ? 'attachment' : 'inline', name),
  };
}

/** RFC 6266 with both forms: an ASCII name for old clients, the real one in RFC 8187 escapes for all others. */
function disposition(kind: 'attachment' | 'inline', name: string): string {
  const plain = name.replace(/[^\u0020-\u007e]|["\\%]/g, '_');
  const escaped = encodeURIComponent(name).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${escaped}`;
}
