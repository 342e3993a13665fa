/** What the page can show itself; everything else is downloaded. SVG is not among the images: it can hold scripts. */
type PreviewKind = 'image' | 'text';

const image = /\.(jpe?g|png|gif|webp|avif|bmp)$/i;
const text = /\.(txt|md|log|csv|json|ya?ml|xml|ini|conf)$/i;

export function previewKindOf(name: string): PreviewKind | undefined {
  if (image.test(name)) return 'image';
  return text.test(name) ? 'text' : undefined;
}
