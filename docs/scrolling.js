// What is wider than the screen scrolls by itself: tables, and recordings of a terminal. Here it is
// reached with the keyboard, too.
const wide = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, p:has(> .recording)")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "wider than the screen: scrolls sideways");
    } else for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
};
addEventListener("load", wide);
addEventListener("resize", wide);
