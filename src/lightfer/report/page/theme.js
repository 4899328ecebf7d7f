// Light or dark: the system's choice, until the button is used.

function startTheme() {
  const root = document.documentElement,
    button = document.getElementById("theme"),
    dark = matchMedia("(prefers-color-scheme: dark)");
  let kept = null;
  try {
    kept = localStorage.getItem("lightfer-theme");
  } catch {
    /* a page from disk may have no storage */
  }
  const show = () => {
    const isDark = kept ? kept === "dark" : dark.matches;
    if (kept) root.dataset.theme = kept;
    button.textContent = isDark ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${isDark ? "light" : "dark"} theme`);
    button.dataset.to = isDark ? "light" : "dark";
  };
  button.addEventListener("click", () => {
    kept = button.dataset.to;
    try {
      localStorage.setItem("lightfer-theme", kept);
    } catch {
      /* then it lasts as long as the page */
    }
    show();
  });
  dark.addEventListener("change", show);
  show();
}
