// What is wrong with the page that is shown, as sentences; an empty list when nothing is.
() => {
  const problems = [];
  const say = (what, element) => problems.push(element ? `${what}: ${element.outerHTML.slice(0, 120)}` : what);
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Structure
  if (!document.documentElement.lang) say("the page names no language");
  if (!document.title.trim()) say("the page has no title");
  if (all("h1").length !== 1) say(`the page has ${all("h1").length} first-level headings`);
  if (all("main").length !== 1) say(`the page has ${all("main").length} main landmarks`);
  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) say(`a heading of level ${own} follows one of level ${level}`, heading);
    if (!heading.textContent.trim()) say("a heading is empty", heading);
    level = own;
  }
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) {
    if (!id.startsWith("clip")) say(`the id ${id} stands more than once`);
  }
  for (const element of all("[aria-labelledby], [aria-describedby]")) {
    for (const name of ["aria-labelledby", "aria-describedby"]) {
      for (const id of (element.getAttribute(name) || "").split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) say(`${name} names ${id}, which is not there`, element);
      }
    }
  }

  // Names of images, tables and links
  for (const image of all("img")) if (!image.hasAttribute("alt")) say("an image has no alt", image);
  for (const image of all("svg")) {
    if (image.parentElement.closest("svg") || image.getAttribute("aria-hidden") === "true") continue;
    const title = image.querySelector(":scope > title");
    if (image.getAttribute("role") !== "img" || !title || !title.textContent.trim()) say("a drawing has no name", image);
  }
  for (const cell of all("th")) if (!cell.hasAttribute("scope")) say("a table heading has no scope", cell);
  for (const table of all("table")) {
    if (!table.caption && !table.hasAttribute("aria-label")) say("a table has no caption", table);
  }
  for (const link of all("a")) {
    const address = link.getAttribute("href") || "";
    if (!link.textContent.trim()) say("a link has no text", link);
    if (/^([a-z]+:|\/\/)/i.test(address)) say("a link leads outside", link);
    if (address.startsWith("#") && !document.getElementById(address.slice(1))) say("a link leads nowhere", link);
  }
  for (const item of all("details")) if (!item.querySelector(":scope > summary")) say("details without a summary", item);

  // Contrast
  const parse = (colour) => {
    const numbers = (colour.match(/[\d.]+%?/g) || []).map((part) => parseFloat(part));
    if (colour.startsWith("rgb")) return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
    if (colour.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((part) => part * 255), numbers[3] ?? 1];
    return null;
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour && colour[3] > 0) layers.push(colour);
      if (colour && colour[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const judged = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || judged.has(element) || !element.checkVisibility()) continue;
    if (element.closest("script, style, title, desc") || element.closest(".skip")) continue;
    judged.add(element);
    const style = getComputedStyle(element);
    const drawn = element.closest("svg") ? style.fill : style.color;
    const colour = parse(drawn);
    if (!colour) { say(`a colour cannot be read (${drawn})`, element); continue; }
    const back = behind(element.closest("svg") ? element.closest("svg").parentElement : element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(over(colour, back), back);
    if (found < (large ? 3 : 4.5)) say(`the contrast of a text is ${found.toFixed(2)}`, element);
  }
  const page = behind(document.body);
  const tokens = getComputedStyle(document.documentElement);
  for (let i = 1; i <= 6; i++) {
    const probe = document.createElement("i");
    probe.style.color = `var(--c${i})`;
    document.body.append(probe);
    const found = contrast(parse(getComputedStyle(probe).color), page);
    probe.remove();
    if (tokens.getPropertyValue(`--c${i}`) && found < 3) say(`the contrast of series colour ${i} is ${found.toFixed(2)}`);
  }
  const wanted = matchMedia("print").matches || matchMedia("(prefers-color-scheme: light)").matches;
  if (wanted !== luminance(page) > 0.5) say(`the page is ${wanted ? "dark" : "light"} in the ${wanted ? "light" : "dark"} scheme`);

  // Width
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = all("body *").find((element) =>
      element.getBoundingClientRect().right > root.clientWidth + 1 && !element.closest(".scroll, .plot, .skip, pre, svg"));
    say(`the page is ${root.scrollWidth} px wide in a window of ${root.clientWidth} px`, wide);
  }
  return problems;
}
