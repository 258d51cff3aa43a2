// Wide tables scroll by themselves: by keys, too.
new MutationObserver(() => {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) wrap.tabIndex = 0
}).observe(document.documentElement, { childList: true, subtree: true })
